//! `deskfold rebuild`: read models made anew from the log while the old ones serve, or proved to be what the log says.

use std::time::Duration;

use eventstore::Log;
use indicatif::{ProgressBar, ProgressStyle};
use projections::Progress;
use tokio::sync::watch;

use super::{Failure, print};
use crate::{config::Rebuild, database::Connected};

pub(super) async fn run(rebuild: Rebuild) -> Result<(), Failure> {
    let connected = Connected::to(&rebuild.database).await?;
    let pool = connected.pool(rebuild.database.database_connections).await?;
    eventstore::MIGRATOR.run(&pool).await?;
    let log = Log::open(pool.clone(), eventstore::Options::default()).await?;
    let names = match rebuild.read_models.is_empty() {
        true => projections::names().into_iter().map(ToOwned::to_owned).collect(),
        false => rebuild.read_models,
    };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let done = match rebuild.verify {
        true => verify(&log, &names).await,
        false => all(&log, &names).await,
    };
    log.close().await;
    pool.close().await;
    connected.stop().await;
    done
}

async fn all(log: &Log, names: &[&str]) -> Result<(), Failure> {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{msg:24} {wide_bar} {pos}/{len} {per_sec} {eta}")?;
    bar.set_style(style);
    let what = match names {
        [name] => (*name).to_owned(),
        names => format!("{} read models", names.len()),
    };
    bar.set_message(what.clone());
    let progress = watch::Sender::<Progress>::default();
    let mut seen = progress.subscribe();
    let show = async {
        let mut every = tokio::time::interval(Duration::from_millis(200));
        loop {
            every.tick().await;
            let progress = *seen.borrow_and_update();
            bar.set_length(u64::try_from(progress.head).unwrap_or_default());
            bar.set_position(u64::try_from(progress.position).unwrap_or_default());
        }
    };
    let started = std::time::Instant::now();
    tokio::select! {
        done = projections::rebuild(log, names, progress.clone()) => done?,
        () = show => {}
    }
    bar.finish_and_clear();
    let (position, seconds) = (progress.borrow().head, started.elapsed().as_secs_f64());
    for name in names {
        print(&format!("{name}: rebuilt up to position {position}"))?;
    }
    print(&format!("{what} in {seconds:.1} s"))
}

/// Differences of a read model that are told one by one.
const TOLD: usize = 20;

async fn verify(log: &Log, names: &[&str]) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    for name in names {
        let compared = projections::compare(log, name).await?;
        for table in &compared.tables {
            let (table, rows, checksum) = (&table.table, table.rows, &table.checksum);
            print(&format!("{table}: {rows} rows at position {}, checksum {checksum}", compared.position))?;
        }
        let many = compared.differences.len();
        for difference in compared.differences.iter().take(TOLD) {
            print(&format!("  differs: {difference}"))?;
        }
        if many > TOLD {
            print(&format!("  and {} more", many - TOLD))?;
        }
        if many > 0 {
            wrong.push(*name);
        }
    }
    match wrong.is_empty() {
        true => print("every row is what the log says"),
        false => Err(format!("not what the log says: {}; `deskfold rebuild` makes them anew", wrong.join(", ")).into()),
    }
}
