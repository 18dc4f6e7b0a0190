//! Runs imports: one process takes a job, keeps its lease, and records each window of rows.

use std::{io::Read, time::Duration};

use bytes::{Buf, Bytes};
use commands::Envelope;
use domain::{
    Time, Via,
    data::import::{Command, Counts, Import, Kind, Status},
};
use futures::{StreamExt, TryStreamExt, stream};
use sqlx::PgPool;
use tokio::{sync::mpsc, task::JoinSet};
use uuid::Uuid;

use super::{
    Before, CONCURRENT, Run, Stop, Verdict,
    entitlements::{Columns, Entitlements},
    history::History,
    layout::Layout,
    mapping::Mapping,
    records::{Duplicate, Records},
    rows::{FileError, Header, Row, Rows},
    sheet::Sheet,
    store::{self, Job, KEEP_EVERY},
    target::Target,
};
use crate::app::App;

/// Most rows of a window.
const WINDOW_ROWS: usize = 2048;
/// About the most bytes of a window's cells.
const WINDOW_BYTES: usize = 8 << 20;
/// Imports that a process runs at once.
const JOBS: usize = 4;
/// How often a runner looks for jobs that another process left.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a job waits when something was out of reach.
const PAUSE: Duration = Duration::from_secs(5);
/// How often stale files are looked for, in looks.
const TIDY_EVERY: u32 = 1800;

/// Takes jobs until the system stops.
pub(crate) async fn run(app: App) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut running = JoinSet::new();
    for look in 0u32.. {
        tokio::select! {
            _ = looks.tick() => {}
            () = app.imports.notified() => {}
            Some(_) = running.join_next() => {}
            () = app.stopping.cancelled() => break,
        }
        while running.len() < JOBS {
            match take(&app).await {
                Ok(Some(job)) => drop(running.spawn(job)),
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "cannot look for imports");
                    break;
                }
            }
        }
        if look % TIDY_EVERY == 0
            && let Err(error) = store::tidy(&app.pool).await
        {
            tracing::warn!(%error, "cannot delete stale uploads");
        }
    }
    while running.join_next().await.is_some() {}
}

/// Waits until no import is to be worked at.
pub(crate) async fn idle(pool: &PgPool) -> sqlx::Result<()> {
    while store::busy(pool).await? {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Takes a job, if there is one: running it is up to the caller.
async fn take(app: &App) -> sqlx::Result<Option<impl Future<Output = ()> + Send + use<>>> {
    let runner = Uuid::now_v7();
    let job = store::claim(&app.pool, runner).await?;
    let app = app.clone();
    Ok(job.map(|job| async move { Runner { app, runner, job }.work().await }))
}

struct Runner {
    app: App,
    runner: Uuid,
    job: Job,
}

impl Runner {
    async fn work(self) {
        let import = self.job.import;
        let stop = tokio::select! {
            outcome = self.bring_in() => outcome,
            lost = self.keep_lease() => Err(lost),
        };
        let settled = match stop {
            Ok(counts) => self.complete(counts).await,
            Err(Stop::Never(reason)) => self.fail(reason).await,
            Err(Stop::Ended) => self.end(None).await,
            Err(stop) => Err(stop),
        };
        let pause = match settled {
            Ok(()) => return,
            Err(Stop::Later(why)) => {
                tracing::warn!(%import, why, "an import is interrupted; it goes on later");
                PAUSE
            }
            Err(_) => Duration::ZERO,
        };
        if let Err(error) = store::release(&self.app.pool, self.runner, &self.job, pause).await {
            tracing::warn!(%import, %error, "cannot give an import back; its lease will run out");
        }
    }

    /// Ends only when the lease is lost or the system stops.
    async fn keep_lease(&self) -> Stop {
        loop {
            tokio::select! {
                () = tokio::time::sleep(KEEP_EVERY) => {}
                () = self.app.stopping.cancelled() => return Stop::Elsewhere,
            }
            match store::keep(&self.app.pool, self.runner, &self.job).await {
                Ok(true) => {}
                Ok(false) => return Stop::Elsewhere,
                // The lease may last until the database is back; a checkpoint finds out.
                Err(error) => tracing::warn!(%error, "cannot keep the lease of an import"),
            }
        }
    }

    fn envelope(&self, what: &str) -> Envelope {
        let run = self.run();
        let mut envelope = Envelope::new(run.tenant, run.import, run.actor.clone(), Via::Import, Time::now());
        // Of this attempt: an import that is started again may fail again.
        envelope.command_id = Uuid::new_v5(&run.correlation(), format!("{what} {}", self.job.attempt).as_bytes());
        envelope.correlation_id = Some(run.correlation());
        envelope
    }

    async fn complete(&self, counts: Counts) -> Result<(), Stop> {
        match self.app.commands.dispatch::<Import>(&self.envelope("complete"), Command::Complete { counts }).await {
            Ok(_) => {}
            // Cancelled at the last moment: that stands.
            Err(commands::Refused::Rejected(_)) => {}
            Err(refused) => return Err(refused.into()),
        }
        let Counts { rows, applied, unchanged, rejected, events } = counts;
        tracing::info!(import = %self.job.import, rows, applied, unchanged, rejected, events, "an import is complete");
        self.end(None).await
    }

    async fn fail(&self, reason: String) -> Result<(), Stop> {
        tracing::warn!(import = %self.job.import, reason, "an import failed");
        let fail = Command::Fail { reason: reason.clone() };
        match self.app.commands.dispatch::<Import>(&self.envelope("fail"), fail).await {
            Ok(_) | Err(commands::Refused::Rejected(_)) => {}
            Err(refused) => return Err(refused.into()),
        }
        self.end(Some(&reason)).await
    }

    /// Ends the job, as the log has ended the import; the file goes when nothing is left to do with it.
    async fn end(&self, reason: Option<&str>) -> Result<(), Stop> {
        let complete = self.status().await? == Status::Completed;
        store::end(&self.app.pool, &self.job, reason, complete).await?;
        // Whoever took the import up again meanwhile found the job still at work, and left it alone.
        if self.status().await? == Status::Running {
            store::ready(&self.app.pool, self.job.tenant, self.job.import).await?;
            self.app.imports.notify_one();
        }
        Ok(())
    }

    /// Where the import stands in the log: another process may have changed that a moment ago.
    async fn status(&self) -> Result<Status, Stop> {
        Ok(self.app.commands.load_current::<Import>(self.job.tenant, self.job.import).await?.0.status)
    }

    fn run(&self) -> Run {
        let Job { tenant, import, source, actor, .. } = &self.job;
        Run { import: *import, tenant: *tenant, source: source.clone(), actor: actor.clone(), handed: None }
    }

    async fn bring_in(&self) -> Result<Counts, Stop> {
        let job = &self.job;
        let mapped = match job.kind {
            Kind::History => Mapped::History(Mapping::parse(job.mapping.as_deref().unwrap_or_default())?),
            Kind::Entitlements => Mapped::Entitlements(Columns::parse(job.mapping.as_deref())?),
            Kind::Records => Mapped::Records(Box::new(Sheet::parse(job.mapping.as_deref().unwrap_or_default())?)),
        };
        let layout = job.layout.unwrap_or_else(|| Layout::separated_by(mapped.delimiter()));
        self.check_running().await?;
        if !store::has_file(&self.app.pool, job.tenant, job.import).await? {
            return Err(Stop::Never("the uploaded file is gone".into()));
        }

        // Once over the file, to know how long it is and that it can be read to its end.
        if job.progress.rows_total.is_none() {
            let mut file = self.read(layout);
            let mut total = 0;
            while let Some(window) = file.next().await? {
                total += window.rows.len() as u64;
            }
            store::total(&self.app.pool, job, total).await?;
        }

        let target = Target::new(self.app.commands.clone(), job.dry_run);
        let mut counts = job.progress.counts;
        // A rehearsal remembers nothing: taken up again, it begins again.
        if job.dry_run {
            counts = Counts::default();
        }
        let mut interrupted = job.attempt > 1;
        let mut file = self.read(layout);
        let mut next = file.next().await?;
        let Some(header) = next.as_ref().map(|window| window.header.clone()) else { return Ok(counts) };
        let mut work = mapped.start(self.run(), header, target)?;
        while let Some(Window { rows, .. }) = next {
            let (passed, rows): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| row.number <= counts.rows);
            work.pass(&passed);
            next = file.next().await?;
            if rows.is_empty() {
                continue;
            }
            self.check_running().await?;
            let before = if std::mem::take(&mut interrupted) && !job.dry_run {
                self.carried_out_before(&rows).await?
            } else {
                Before::new()
            };
            let mut rejected = Vec::new();
            for (row, verdict) in work.window(rows, &before).await? {
                counts.rows += 1;
                match verdict {
                    Verdict::Applied(events) => {
                        counts.applied += 1;
                        counts.events += events;
                    }
                    Verdict::Unchanged => counts.unchanged += 1,
                    Verdict::Rejected(fault) => {
                        counts.rejected += 1;
                        rejected.push((row, fault));
                    }
                }
            }
            let duplicates = work.duplicates();
            if !store::checkpoint(&self.app.pool, self.runner, job, &counts, &rejected, &duplicates).await? {
                return Err(Stop::Elsewhere);
            }
        }
        Ok(counts)
    }

    async fn check_running(&self) -> Result<(), Stop> {
        match self.status().await? {
            Status::Running => Ok(()),
            // Completed, and stopped before the job could say so, too.
            Status::Cancelled | Status::Failed | Status::Completed => Err(Stop::Ended),
            Status::Missing => Err(Stop::Never("the import was never started".into())),
        }
    }

    /// What of these rows was carried out by this import without being recorded.
    async fn carried_out_before(&self, rows: &[Row]) -> Result<Before, Stop> {
        let run = self.run();
        let numbers: Vec<u64> = rows.iter().map(|row| row.number).collect();
        let found: Vec<_> = stream::iter(numbers)
            .map(|row| {
                let (log, id) = (self.app.log.clone(), run.command_id(row));
                async move { Ok::<_, Stop>((row, log.stored_command(id).await?)) }
            })
            .buffer_unordered(CONCURRENT.min(8))
            .try_collect()
            .await?;
        let events = |stored: eventstore::StoredCommand| {
            usize::try_from(stored.last_position - stored.first_position + 1).unwrap_or_default()
        };
        Ok(found.into_iter().filter_map(|(row, stored)| Some((row, events(stored?)))).collect())
    }

    /// Reads the file on a thread of its own, a window ahead.
    fn read(&self, layout: Layout) -> File {
        let (pool, tenant, import) = (self.app.pool.clone(), self.job.tenant, self.job.import);
        let (pieces, source) = mpsc::channel(4);
        let (windows, file) = mpsc::channel(1);
        tokio::spawn(async move {
            for chunk in 0.. {
                let piece = store::piece(&pool, tenant, import, chunk).await;
                let (last, piece) = match piece {
                    Ok(Some(piece)) => (false, Ok(piece)),
                    // A job whose file is gone must not look like an empty file.
                    Ok(None) if chunk == 0 => (true, Err("the uploaded file is gone".to_owned())),
                    // An empty piece ends the file: a channel that just closes must not look like one.
                    Ok(None) => (true, Ok(Bytes::new())),
                    Err(error) => (true, Err(error.to_string())),
                };
                if pieces.send(piece).await.is_err() || last {
                    return;
                }
            }
        });
        tokio::task::spawn_blocking(move || {
            if let Err(error) = windows_of(Pieces { source, rest: Bytes::new(), ended: false }, layout, &windows) {
                // Nobody listens any more when the job has ended.
                let _ = windows.blocking_send(Err(error));
            }
        });
        File(file)
    }
}

/// What the columns of a file mean.
enum Mapped {
    History(Mapping),
    Entitlements(Columns),
    Records(Box<Sheet>),
}

impl Mapped {
    fn delimiter(&self) -> u8 {
        match self {
            Mapped::History(mapping) => mapping.delimiter,
            Mapped::Entitlements(columns) => columns.delimiter,
            Mapped::Records(sheet) => sheet.delimiter.unwrap_or(b','),
        }
    }

    fn start(self, run: Run, header: Header, target: Target) -> Result<Work, Stop> {
        Ok(match self {
            Mapped::History(mapping) => {
                mapping.check(&header)?;
                Work::History(History::new(run, mapping, header, target))
            }
            Mapped::Entitlements(columns) => {
                columns.check(&header)?;
                Work::Entitlements(Entitlements::new(run, columns, header, target))
            }
            Mapped::Records(sheet) => {
                sheet.check(&header)?;
                Work::Records(Box::new(Records::new(run, *sheet, header, target)))
            }
        })
    }
}

/// Deals with rows.
enum Work {
    History(History),
    Entitlements(Entitlements),
    Records(Box<Records>),
}

impl Work {
    fn pass(&mut self, rows: &[Row]) {
        if let Work::History(history) = self {
            history.pass(rows);
        }
    }

    async fn window(&mut self, rows: Vec<Row>, before: &Before) -> Result<Vec<(Row, Verdict)>, Stop> {
        match self {
            Work::History(history) => history.window(rows, before).await,
            Work::Entitlements(entitlements) => entitlements.window(rows, before).await,
            Work::Records(records) => records.window(rows, before).await,
        }
    }

    /// What may be one record, of the rows since this was asked last.
    fn duplicates(&self) -> Vec<Duplicate> {
        match self {
            Work::History(_) | Work::Entitlements(_) => Vec::new(),
            Work::Records(records) => records.duplicates(),
        }
    }
}

/// Rows that are dealt with together.
struct Window {
    header: Header,
    rows: Vec<Row>,
}

/// The windows of a file.
struct File(mpsc::Receiver<Result<Window, FileError>>);

impl File {
    async fn next(&mut self) -> Result<Option<Window>, FileError> {
        self.0.recv().await.transpose()
    }
}

/// Sends a file window by window. Where a window ends follows from the file alone, so that a run that is taken up again
/// does the same as one that is not.
fn windows_of(
    source: impl Read,
    layout: Layout,
    windows: &mpsc::Sender<Result<Window, FileError>>,
) -> Result<(), FileError> {
    let mut file = Rows::open(layout.decoded(source), layout)?;
    let header = file.header().clone();
    let (mut rows, mut bytes) = (Vec::new(), 0);
    let send = |rows: &mut Vec<Row>| {
        windows.blocking_send(Ok(Window { header: header.clone(), rows: std::mem::take(rows) })).is_ok()
    };
    while let Some(row) = file.next()? {
        bytes += row.cells.iter().map(String::len).sum::<usize>();
        rows.push(row);
        if rows.len() >= WINDOW_ROWS || bytes >= WINDOW_BYTES {
            bytes = 0;
            if !send(&mut rows) {
                return Ok(());
            }
        }
    }
    if !rows.is_empty() {
        send(&mut rows);
    }
    Ok(())
}

/// The pieces of a file as one stream of bytes.
struct Pieces {
    source: mpsc::Receiver<Result<Bytes, String>>,
    rest: Bytes,
    ended: bool,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.rest.is_empty() && !self.ended {
            match self.source.blocking_recv() {
                Some(Ok(piece)) => {
                    self.ended = piece.is_empty();
                    self.rest = piece;
                }
                Some(Err(error)) => return Err(std::io::Error::other(error)),
                None => return Err(std::io::Error::other("reading the file was interrupted")),
            }
        }
        let read = self.rest.len().min(buffer.len());
        self.rest.copy_to_slice(&mut buffer[..read]);
        Ok(read)
    }
}
