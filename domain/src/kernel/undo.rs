//! Taking back what commands did: by further commands, where nobody has changed the same since.

use crate::{
    Actor, Aggregate, Metadata, Rejection,
    kernel::{
        aggregate::Stored,
        any::{self, AnyCommand},
        named::Undecodable,
    },
};

/// What happened stays, such as what was said to somebody.
pub const LASTING: Rejection = Rejection::conflict("undo_lasting", "What happened here cannot be taken back.");
/// Somebody has changed the same since.
pub const OVERTAKEN: Rejection =
    Rejection::conflict("undo_overtaken", "Somebody has changed the same since, and that stays.");

/// An event of a stream, and which command wrote it if it is to be taken back.
pub type Marked<'a> = (Stored<'a>, Option<usize>);

/// Why what commands did is not taken back.
#[derive(Clone, Debug, PartialEq)]
pub struct Obstacle {
    /// [`LASTING`] or [`OVERTAKEN`].
    pub rejection: Rejection,
    /// The event of the stream that stands in the way, by its place: the one that lasts, or the first that came over it.
    pub place: Option<usize>,
}

/// The commands that take back, in this order, what the marked events of a stream did.
///
/// An event counts as standing as long as telling it once more changes nothing: what somebody else has changed meanwhile, or
/// changed back, is not touched, while whatever else has happened to the record is no obstacle. Commands are taken back last
/// one first; the events of one command in their order, since a later one may follow from an earlier one. A record that came
/// into being by one of them is put away, which takes back the rest, unless somebody has worked with it since.
///
/// # Errors
/// When an event of the stream cannot be understood.
pub fn undo<A: Aggregate>(
    stream: &mut dyn Iterator<Item = Marked<'_>>,
) -> Result<Result<Vec<AnyCommand>, Obstacle>, Undecodable> {
    let mut state = A::default();
    let mut own: Vec<Done<A>> = Vec::new();
    let mut overtaken = None;
    for (place, ((kind, data, metadata), command)) in stream.enumerate() {
        let event = A::decode(kind, data)?;
        let actor = match A::ATTRIBUTED {
            true => serde_json::from_slice::<Metadata>(metadata).map_or(Actor::SYSTEM, |metadata| metadata.actor),
            false => Actor::SYSTEM,
        };
        let before = command.map(|_| state.clone());
        tell(&mut state, &event, &actor);
        match command.zip(before) {
            Some((command, before)) => own.push(Done { command, place, before, event, actor }),
            None if own.is_empty() => continue,
            None => {}
        }
        overtaken = if stands(&state, &own) { None } else { overtaken.or(Some(place)) };
    }
    // What came into being goes, with all that was done to it.
    if own.first().is_some_and(|first| first.place == 0) {
        own.truncate(1);
    }
    let mut commands = Vec::new();
    let mut rest = own.as_slice();
    while let Some(last) = rest.last() {
        let of_one = rest.partition_point(|done| done.command != last.command);
        for done in &rest[of_one..] {
            let Some(undone) = done.before.undo(&done.event) else {
                return Ok(Err(Obstacle { rejection: LASTING, place: Some(done.place) }));
            };
            commands.extend(undone.into_iter().map(any::command::<A>));
        }
        rest = &rest[..of_one];
    }
    Ok(match overtaken {
        Some(_) => Err(Obstacle { rejection: OVERTAKEN, place: overtaken }),
        None => Ok(commands),
    })
}

/// An event that is to be taken back.
struct Done<A: Aggregate> {
    command: usize,
    place: usize,
    before: A,
    event: A::Event,
    actor: Actor,
}

fn tell<A: Aggregate>(state: &mut A, event: &A::Event, actor: &Actor) {
    state.evolve(event);
    if A::ATTRIBUTED {
        state.attribute(event, actor);
    }
}

/// Whether telling them once more would change nothing.
fn stands<A: Aggregate>(state: &A, own: &[Done<A>]) -> bool {
    let mut again = state.clone();
    own.iter().for_each(|done| tell(&mut again, &done.event, &done.actor));
    again == *state || again.forgetful() == state.clone().forgetful()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::kernel::{
        custom::Change,
        named::Either,
        record::{Event, Happened, New},
    };
    use crate::work::project::{Fields, Project};

    type Said = Event<crate::work::project::Spec>;

    fn created() -> Said {
        let fields = Fields { name: "Move".into(), description: None };
        let new = New {
            fields,
            custom: Default::default(),
            owner: None,
            stage: None,
            tags: BTreeSet::new(),
            copied_from: None,
        };
        Either::Common(Happened::Created(new))
    }

    fn renamed(from: &str, to: &str) -> Said {
        let change = Change { from: from.into(), to: to.into() };
        Either::Common(Happened::DetailsChanged { changes: [("name".to_owned(), change)].into() })
    }

    fn tagged(tag: &str) -> Said {
        Either::Common(Happened::Tagged { tag: tag.into() })
    }

    fn taken_back(stream: &[(Said, Option<usize>)]) -> Result<Vec<String>, (String, Option<usize>)> {
        let stored: Vec<_> = stream.iter().map(|(event, command)| (Project::encode(event), *command)).collect();
        let mut marked =
            stored.iter().map(|((kind, data), command)| ((kind.as_str(), data.as_slice(), &b""[..]), *command));
        let undone = undo::<Project>(&mut marked).unwrap();
        let say = |command: &AnyCommand| {
            let (name, body) = command.encode();
            format!("{name} {}", String::from_utf8(body).unwrap())
        };
        undone
            .map(|commands| commands.iter().map(say).collect())
            .map_err(|obstacle| (obstacle.rejection.code.into_owned(), obstacle.place))
    }

    #[test]
    fn what_stands_is_taken_back_last_command_first() {
        let stream = [
            (created(), None),
            (renamed("Move", "House"), Some(0)),
            (tagged("mine"), None),
            (renamed("House", "Home"), Some(1)),
        ];
        assert_eq!(taken_back(&stream), Ok(vec![r#"edit {"name":"House"}"#.into(), r#"edit {"name":"Move"}"#.into()]));
    }

    #[test]
    fn what_somebody_changed_since_stays() {
        let mut stream = vec![(created(), None), (renamed("Move", "House"), Some(0)), (renamed("House", "Flat"), None)];
        assert_eq!(taken_back(&stream), Err(("undo_overtaken".into(), Some(2))));
        // Changed back by somebody it stands again.
        stream.push((renamed("Flat", "House"), None));
        assert_eq!(taken_back(&stream), Ok(vec![r#"edit {"name":"Move"}"#.into()]));
    }

    #[test]
    fn what_came_into_being_is_put_away() {
        let stream = [(created(), Some(0)), (renamed("Move", "House"), Some(1))];
        assert_eq!(taken_back(&stream), Ok(vec![r#"archive {"reason":null}"#.into()]));
        // Unless somebody has worked with it since.
        let stream = [(created(), Some(0)), (tagged("mine"), None)];
        assert_eq!(taken_back(&stream), Err(("undo_overtaken".into(), Some(1))));
    }
}
