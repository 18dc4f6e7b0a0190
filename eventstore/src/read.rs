//! Reading: one stream, everything with filters, and everything as fast as it goes.

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use sqlx::{PgConnection, Postgres, QueryBuilder};
use tokio::sync::mpsc;

use crate::Recorded;
use crate::error::Error;
use crate::log::Log;
use crate::wire::{Decoder, Instant, columns, copy_header};

/// Which way to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    #[default]
    Forward,
    /// Newest first.
    Backward,
}

impl Direction {
    fn sql(self) -> &'static str {
        match self {
            Self::Forward => " asc",
            Self::Backward => " desc",
        }
    }
}

/// What to read of the whole log. Empty lists and `None` do not filter.
#[derive(Clone, Debug)]
pub struct Query {
    /// Only this tenant's events.
    pub tenant: Option<String>,
    /// Start beyond this position, following the direction.
    pub after: Option<i64>,
    /// Stop at this position, itself included, following the direction.
    pub until: Option<i64>,
    /// Which way.
    pub direction: Direction,
    /// Most events to return.
    pub limit: i64,
    /// Only streams of these categories.
    pub categories: Vec<String>,
    /// Only events of these types.
    pub types: Vec<String>,
    /// Only this stream; needs a tenant.
    pub stream: Option<String>,
    /// Only events recorded at this instant or later.
    pub from: Option<Timestamp>,
    /// Only events recorded before this instant.
    pub to: Option<Timestamp>,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            tenant: None,
            after: None,
            until: None,
            direction: Direction::Forward,
            limit: 100,
            categories: Vec::new(),
            types: Vec::new(),
            stream: None,
            from: None,
            to: None,
        }
    }
}

/// Events in one page of a replay: enough to make the round trip nothing, little enough to stay in the cache.
const REPLAY_PAGE: i64 = 4096;
/// Pages a replay reads ahead of the fold.
const REPLAY_AHEAD: usize = 2;

impl Log {
    /// Events of one stream, starting with version `from` (`from` itself included), in the given direction.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn read_stream(
        &self,
        tenant: &str,
        stream: &str,
        from: i64,
        direction: Direction,
        limit: i64,
    ) -> Result<Vec<Recorded>, Error> {
        let statement = match direction {
            Direction::Forward => concat!(
                "select ",
                columns!(),
                " from log_event where tenant_id = $1 and stream = $2 and version >= $3 order by version limit $4"
            ),
            Direction::Backward => concat!(
                "select ",
                columns!(),
                " from log_event where tenant_id = $1 and stream = $2 and version <= $3 order by version desc limit $4"
            ),
        };
        let rows =
            sqlx::query(statement).bind(tenant).bind(stream).bind(from).bind(limit).fetch_all(self.pool()).await?;
        Ok(Decoder::rows(&rows)?)
    }

    /// The first events of several streams, each by its tenant and name, at most `limit` of each: stream by stream, in order.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn read_streams(&self, streams: &[(String, String)], limit: i64) -> Result<Vec<Recorded>, Error> {
        let statement = concat!(
            "select ",
            columns!(),
            " from unnest($1::text[], $2::text[]) wanted (of_tenant, of_stream) cross join lateral (
                 select ",
            columns!(),
            " from log_event where tenant_id = of_tenant and stream = of_stream order by version limit $3) e"
        );
        let (tenants, names): (Vec<_>, Vec<_>) = streams.iter().map(|(tenant, name)| (&**tenant, &**name)).unzip();
        let rows = sqlx::query(statement).bind(tenants).bind(names).bind(limit).fetch_all(self.pool()).await?;
        Ok(Decoder::rows(&rows)?)
    }

    /// The streams of these categories that have events beyond a position, and whether their first is among those; with an
    /// instant, events that happened after it.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn streams_beyond(
        db: &mut PgConnection,
        tenant: &str,
        categories: &[&str],
        position: i64,
        later_than: Option<Timestamp>,
    ) -> Result<Vec<(String, bool)>, Error> {
        let mut sql =
            QueryBuilder::<Postgres>::new("select stream, min(version) = 0 from log_event where tenant_id = ");
        sql.push_bind(tenant).push(" and category = any (").push_bind(categories);
        sql.push(") and position > ").push_bind(position);
        if let Some(instant) = later_than {
            sql.push(" and occurred_at > ").push_bind(Instant(instant));
        }
        sql.push(" group by stream");
        Ok(sql.build_query_as().fetch_all(db).await?)
    }

    /// All events of some streams of a tenant, stream by stream, in order.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn read_whole(db: &mut PgConnection, tenant: &str, streams: &[&str]) -> Result<Vec<Recorded>, Error> {
        let statement = concat!(
            "select ",
            columns!(),
            " from unnest($2::text[]) wanted (of_stream) cross join lateral (
                 select ",
            columns!(),
            " from log_event where tenant_id = $1 and stream = of_stream order by version) e"
        );
        let rows = sqlx::query(statement).bind(tenant).bind(streams).fetch_all(db).await?;
        Ok(Decoder::rows(&rows)?)
    }

    /// The events of some streams of a tenant beyond a position and up to another, stream by stream, in order.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn read_between(
        &self,
        tenant: &str,
        streams: &[String],
        (beyond, up_to): (i64, i64),
    ) -> Result<Vec<Recorded>, Error> {
        let statement = concat!(
            "select ",
            columns!(),
            " from unnest($2::text[]) wanted (of_stream) cross join lateral (
                 select ",
            columns!(),
            " from log_event where tenant_id = $1 and stream = of_stream and position > $3 and position <= $4
              order by version) e"
        );
        let query = sqlx::query(statement).bind(tenant).bind(streams).bind(beyond).bind(up_to);
        Ok(Decoder::rows(&query.fetch_all(self.pool()).await?)?)
    }

    /// A tenant's events at these positions, by position. Positions that are another tenant's are passed over.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn read_positions(&self, tenant: &str, positions: &[i64]) -> Result<Vec<Recorded>, Error> {
        let statement = concat!(
            "select ",
            columns!(),
            " from log_event where position = any ($1) and tenant_id = $2 order by position"
        );
        let rows = sqlx::query(statement).bind(positions).bind(tenant).fetch_all(self.pool()).await?;
        Ok(Decoder::rows(&rows)?)
    }

    /// Events of the whole log that match, by position.
    ///
    /// # Errors
    /// When the database cannot be reached, or a stream is asked for without its tenant.
    pub async fn read_all(&self, query: &Query) -> Result<Vec<Recorded>, Error> {
        let Some((low, high)) = self.bounds(query).await? else { return Ok(Vec::new()) };
        let mut sql = QueryBuilder::<Postgres>::new(concat!("select ", columns!(), " from log_event"));
        match (&query.tenant, &query.stream) {
            (None, Some(_)) => return Err(Error::Invalid("a stream is read with its tenant".into())),
            (Some(tenant), Some(stream)) => {
                sql.push(" where tenant_id = ").push_bind(tenant).push(" and stream = ").push_bind(stream);
                between(&mut sql, low, high);
                only(&mut sql, "type", &query.types);
                only(&mut sql, "category", &query.categories);
                // Versions and positions agree, and the index is by version.
                sql.push(" order by version").push(query.direction.sql()).push(" limit ").push_bind(query.limit);
            }
            (Some(tenant), None) => {
                // Page by page through each category's own index: a small tenant's events cost the same in a large log.
                let categories = match query.categories.as_slice() {
                    [] => self.categories(tenant).await?,
                    given => given.to_vec(),
                };
                sql.push(" join (select page.position from unnest(").push_bind(categories);
                sql.push(") wanted (name) cross join lateral (select position from log_event where tenant_id = ");
                sql.push_bind(tenant).push(" and category = wanted.name");
                between(&mut sql, low, high);
                only(&mut sql, "type", &query.types);
                sql.push(" order by position").push(query.direction.sql()).push(" limit ").push_bind(query.limit);
                sql.push(") page order by 1").push(query.direction.sql()).push(" limit ").push_bind(query.limit);
                sql.push(") page using (position) order by position").push(query.direction.sql());
            }
            (None, None) => {
                sql.push(" where true");
                between(&mut sql, low, high);
                only(&mut sql, "category", &query.categories);
                only(&mut sql, "type", &query.types);
                sql.push(" order by position").push(query.direction.sql()).push(" limit ").push_bind(query.limit);
            }
        }
        Ok(Decoder::rows(&sql.build().fetch_all(self.pool()).await?)?)
    }

    /// The positions a query can touch: above the first, up to the second. `None` when there are none.
    async fn bounds(&self, query: &Query) -> Result<Option<(i64, i64)>, Error> {
        let (after, until) = (query.after, query.until);
        let (mut low, mut high) = match query.direction {
            Direction::Forward => (after.unwrap_or(0), until.unwrap_or(i64::MAX)),
            Direction::Backward => (until.map_or(0, |until| until - 1), after.map_or(i64::MAX, |after| after - 1)),
        };
        let before =
            |instant: Timestamp| instant.saturating_sub(SignedDuration::from_micros(1)).unwrap_or(Timestamp::MIN);
        if let Some(from) = query.from {
            low = low.max(self.position_at(before(from)).await?);
        }
        if let Some(to) = query.to {
            high = high.min(self.position_at(before(to)).await?);
        }
        Ok((low < high && query.limit > 0).then_some((low, high)))
    }

    /// The categories a tenant has streams of, by jumping from one to the next in the index of streams.
    async fn categories(&self, tenant: &str) -> Result<Vec<String>, Error> {
        // '.' follows '-': beyond all streams of a category lies everything greater than the category with a dot.
        Ok(sqlx::query_scalar(
            "with recursive found (stream) as (
                 (select stream from log_stream where tenant_id = $1 order by stream limit 1)
                 union all
                 select (select s.stream from log_stream s
                         where s.tenant_id = $1 and s.stream > case
                             when strpos(found.stream, '-') > 0 then split_part(found.stream, '-', 1) || '.'
                             else found.stream
                         end
                         order by s.stream limit 1)
                 from found where found.stream is not null
             )
             select distinct split_part(stream, '-', 1) from found where stream is not null",
        )
        .bind(tenant)
        .fetch_all(self.pool())
        .await?)
    }

    /// Every event after one position up to another, in pages, by the fastest path there is: the next pages are read
    /// while one is folded. Ends early where the log ends.
    pub fn replay(
        &self,
        after: i64,
        until: i64,
    ) -> impl Stream<Item = Result<Vec<Recorded>, Error>> + Send + Unpin + use<> {
        let (sender, mut receiver) = mpsc::channel(REPLAY_AHEAD);
        let pool = self.pool().clone();
        tokio::spawn(async move {
            let read = async {
                let head: i64 =
                    sqlx::query_scalar("select coalesce((select position from log_head), 0)").fetch_one(&pool).await?;
                let (mut after, until) = (after.max(0), until.min(head));
                while after < until {
                    let last = until.min(after + REPLAY_PAGE);
                    // Whoever folds may need a connection before it takes the next page: none is held meanwhile.
                    let page = copy_page(&mut *pool.acquire().await?, after, last).await?;
                    if sender.send(Ok(page)).await.is_err() {
                        break;
                    }
                    after = last;
                }
                Ok(())
            };
            let result: Result<(), Error> = read.await;
            if let Err(error) = result {
                // Nobody listens any more: nobody needs to know.
                let _ = sender.send(Err(error)).await;
            }
        });
        futures::stream::poll_fn(move |context| receiver.poll_recv(context))
    }
}

/// Events above one position up to another, which must exist, by binary `COPY`.
pub(crate) async fn copy_page(connection: &mut PgConnection, after: i64, last: i64) -> Result<Vec<Recorded>, Error> {
    // COPY takes no parameters; two integers need no quoting.
    let statement = format!(
        concat!(
            "copy (select ",
            columns!(),
            " from log_event where position > {} and position <= {} order by position) to stdout (format binary)"
        ),
        after, last
    );
    let unreadable = |error: sqlx::error::BoxDynError| Error::Unreadable(error.to_string());
    let mut messages = connection.copy_out_raw(&statement).await?;
    let mut page = Vec::with_capacity(usize::try_from(last - after).unwrap_or(0));
    let mut decoder = Decoder::default();
    let mut begun = false;
    while let Some(mut message) = messages.try_next().await? {
        if !begun {
            copy_header(&mut message).map_err(unreadable)?;
            begun = true;
        }
        while let Some(event) = next(&mut decoder, &mut message).map_err(unreadable)? {
            page.push(event);
        }
    }
    Ok(page)
}

fn next(decoder: &mut Decoder, message: &mut Bytes) -> Result<Option<Recorded>, sqlx::error::BoxDynError> {
    if message.is_empty() { Ok(None) } else { decoder.copied(message) }
}

fn between(sql: &mut QueryBuilder<Postgres>, low: i64, high: i64) {
    sql.push(" and position > ").push_bind(low).push(" and position <= ").push_bind(high);
}

fn only(sql: &mut QueryBuilder<Postgres>, column: &'static str, values: &[String]) {
    if !values.is_empty() {
        sql.push(" and ").push(column).push(" = any (").push_bind(values.to_vec()).push(")");
    }
}
