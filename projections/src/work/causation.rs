//! Which event caused which, so that effects are found from causes. Table: `read_causation`.

use domain::Id;
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::{Keys, ReadModel, Unreadable};

/// The causes of events.
#[derive(Clone, Copy, Debug)]
pub struct Causation;

/// An event that another event caused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The position of the event that caused it.
    pub cause: i64,
    /// How many rules lie between it and what a person or another program did.
    pub depth: u32,
}

#[derive(Deserialize)]
struct Caused {
    #[serde(default)]
    causation_position: Option<i64>,
    #[serde(default)]
    depth: u32,
}

fn caused(event: &Recorded) -> Option<Row> {
    let Caused { causation_position, depth } = serde_json::from_slice(&event.metadata).ok()?;
    causation_position.map(|cause| Row { cause, depth })
}

impl ReadModel for Causation {
    const NAME: &'static str = "causation";
    const VERSION: i32 = 1;
    /// A rule may cause anything.
    const KINDS: &'static [&'static str] = &[];
    const OWN: bool = false;
    type Row = Row;

    fn keys(event: &Recorded) -> Keys {
        caused(event).map_or(Keys::None, |_| Keys::One(Id::from_bits(event.id.as_u128())))
    }

    fn apply(_: Id, _: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        Ok(caused(event))
    }
}

/// An event that follows, directly or not, from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Its position.
    pub position: i64,
    /// The position of the event that caused it directly.
    pub cause: i64,
    /// How many steps it lies from the event that was asked about: 1 for a direct effect.
    pub steps: i32,
}

/// Everything that followed from an event within so many steps, in the order of the log, `limit` beyond a position.
///
/// # Errors
/// When the database fails.
pub async fn effects(
    pool: &PgPool,
    tenant: Id,
    of: i64,
    steps: i32,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<Effect>> {
    let rows: Vec<(i64, i64, i32)> = sqlx::query_as(
        "with recursive effect (position, cause, steps) as (
             select position, cause, 1 from read_causation where tenant_id = $1 and cause = $2
             union all
             select c.position, c.cause, e.steps + 1
             from effect e join read_causation c on c.tenant_id = $1 and c.cause = e.position
             where e.steps < $3
         )
         select position, cause, steps from effect where position > $4 order by position limit $5",
    )
    .bind(tenant.to_string())
    .bind(of)
    .bind(steps)
    .bind(after)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(position, cause, steps)| Effect { position, cause, steps }).collect())
}

#[cfg(test)]
mod tests {
    use domain::work::task::{Event, Task};

    use super::*;
    use crate::kernel::fold::tests::recorded;

    #[test]
    fn an_event_that_was_caused_names_its_cause_and_others_leave_no_row() {
        let by_hand = recorded::<Task>(0, &Event::Started);
        assert_eq!(Causation::keys(&by_hand), Keys::None);
        let metadata = br#"{"causation_id":"x","causation_position":41,"depth":2}"#;
        let caused = Recorded { id: uuid::Uuid::from_u128(7), metadata: metadata.as_slice().into(), ..by_hand };
        assert_eq!(Causation::keys(&caused), Keys::One(Id::from_bits(7)));
        assert_eq!(Causation::apply(Id::from_bits(7), None, &caused), Ok(Some(Row { cause: 41, depth: 2 })));
    }
}
