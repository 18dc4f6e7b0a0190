//! `deskfold relay`: how JetStream stands to the log, and publishing all of its window anew.

use std::time::Duration;

use eventstore::{Log, Nats};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, print};
use crate::{
    config::{Relay, RelayOf},
    database::Connected,
};

/// How long NATS may take to be reached.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn run(command: Relay) -> Result<(), Failure> {
    match command {
        Relay::Status(of) => {
            with_both(&of, async |log, nats| {
                let report = eventstore::Relay::report(&log, &nats).await?;
                print(&serde_json::to_string(&report)?)
            })
            .await
        }
        Relay::Rebuild(of) => with_both(&of, async |log, nats| rebuild(&log, &nats).await).await,
    }
}

async fn with_both(of: &RelayOf, work: impl AsyncFnOnce(Log, Nats) -> Result<(), Failure>) -> Result<(), Failure> {
    let options = of.nats.options(None).ok_or("which NATS? Say --nats-url, or set NATS_URL")?;
    let connected = Connected::to(&of.database).await?;
    crate::install_crypto_provider();
    let nats = Nats::connect(options).await?;
    let pool = connected.pool(4).await?;
    let log = Log::open(pool.clone(), eventstore::Options::default()).await?;
    let done = match nats.connected(PATIENCE).await {
        Ok(()) => work(log.clone(), nats).await,
        Err(error) => Err(error.into()),
    };
    log.close().await;
    pool.close().await;
    connected.stop().await;
    done
}

async fn rebuild(log: &Log, nats: &Nats) -> Result<(), Failure> {
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} {per_sec} {eta}")?);
    let started = std::time::Instant::now();
    let report = eventstore::Relay::rebuild(log, nats, |reached, head| {
        bar.set_length(u64::try_from(head).unwrap_or_default());
        bar.set_position(u64::try_from(reached).unwrap_or_default());
    })
    .await?;
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    let (stream, first, last, messages) = (report.stream, report.first, report.last, report.messages);
    print(&format!("{stream}: {messages} events published again, positions {first} to {last}, in {seconds:.1} s"))
}
