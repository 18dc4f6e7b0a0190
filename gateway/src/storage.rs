//! The room on the disk: measured all the time, so that writes are refused long before PostgreSQL can go on no more.

use std::{
    io,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use parking_lot::Mutex;
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

use crate::app::App;

/// How often it is measured.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const MEBIBYTE: u64 = 1 << 20;

/// What a file system has, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    /// Free for anybody but root.
    pub(crate) free: u64,
    /// In all.
    pub(crate) total: u64,
}

impl Space {
    /// The space of the file system that holds a directory, or will hold it once it is made.
    pub(crate) fn of(directory: &Path) -> io::Result<Space> {
        let there = directory.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
        let found = rustix::fs::statvfs(there)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Space { free: bytes(found.f_bavail), total: bytes(found.f_blocks) })
    }
}

/// How much must stay free.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum MinFree {
    /// A twentieth of the disk, at least 64 MiB and at most 2 GiB.
    #[default]
    Auto,
    /// So many bytes.
    Bytes(u64),
    /// So many hundredths of the disk.
    Percent(f64),
}

impl MinFree {
    fn of(self, total: u64) -> u64 {
        match self {
            MinFree::Auto => (total / 20).clamp(64 * MEBIBYTE, 2048 * MEBIBYTE),
            MinFree::Bytes(bytes) => bytes,
            MinFree::Percent(percent) => (total as f64 * percent / 100.0) as u64,
        }
    }
}

impl FromStr for MinFree {
    type Err = String;

    fn from_str(text: &str) -> Result<MinFree, String> {
        let text = text.trim();
        if text == "auto" {
            return Ok(MinFree::Auto);
        }
        let digits = text.trim_end_matches(|last: char| !last.is_ascii_digit());
        let (number, unit) = (digits.parse::<f64>(), text[digits.len()..].trim().to_ascii_lowercase());
        let number = number.ok().filter(|number| *number >= 0.0);
        let number = number.ok_or_else(|| format!("{text} is no amount; write it like 512MiB, 2GB or 5%"))?;
        let factor = match unit.as_str() {
            "%" if number <= 100.0 => return Ok(MinFree::Percent(number)),
            "" | "b" => 1.0,
            "kb" => 1e3,
            "kib" => 1024.0,
            "mb" => 1e6,
            "mib" => MEBIBYTE as f64,
            "gb" => 1e9,
            "gib" => 1024.0 * MEBIBYTE as f64,
            "tb" => 1e12,
            "tib" => 1024.0 * 1024.0 * MEBIBYTE as f64,
            _ => return Err(format!("{text} is no amount; write it like 512MiB, 2GB or 5%")),
        };
        Ok(MinFree::Bytes((number * factor) as u64))
    }
}

/// Whether room is low, with a gap between low and no longer low, so that it does not go to and fro.
fn is_low(space: Space, min_free: u64, was_low: bool) -> bool {
    let gap = if was_low { (min_free / 4).min(256 * MEBIBYTE) } else { 0 };
    space.free < min_free.saturating_add(gap)
}

/// The last measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Measure {
    /// The directory with the least to spare.
    pub(crate) directory: PathBuf,
    pub(crate) free: u64,
    pub(crate) min_free: u64,
}

/// What is known of the disk.
pub(crate) struct Storage {
    directories: Vec<PathBuf>,
    min_free: MinFree,
    last: Mutex<Option<Measure>>,
    free: IntGaugeVec,
    needed: IntGaugeVec,
    full: IntGauge,
}

impl Storage {
    /// Nothing is measured yet. The private cluster's place is known; of a database elsewhere, what `--storage-dir` names.
    pub(crate) fn new(config: &crate::config::Serve, registry: &Registry) -> Result<Storage, prometheus::Error> {
        let mut directories = config.storage_dir.clone();
        if config.database.database_url.is_none() {
            let cluster = config.database.data_dir.join("postgres");
            let places = [cluster.join("pg_wal"), cluster];
            directories.extend(places.into_iter().filter_map(|place| place.canonicalize().ok()));
        }
        if config.files.files_url.is_none() {
            directories.extend(config.database.data_dir.join("files").canonicalize().ok());
        }
        let free = Opts::new(
            "deskfold_storage_free_bytes",
            "Free space where the database and what people send are kept, as far as known.",
        );
        let needed = Opts::new("deskfold_storage_min_free_bytes", "Free space below which writes are refused.");
        let full = "1 while writes are refused for want of space, else 0.";
        let storage = Storage {
            directories,
            min_free: config.min_free_space,
            last: Mutex::default(),
            free: IntGaugeVec::new(free, &["directory"])?,
            needed: IntGaugeVec::new(needed, &["directory"])?,
            full: IntGauge::new("deskfold_storage_full", full)?,
        };
        registry.register(Box::new(storage.free.clone()))?;
        registry.register(Box::new(storage.needed.clone()))?;
        registry.register(Box::new(storage.full.clone()))?;
        Ok(storage)
    }

    /// The last measure, where anything can be measured.
    pub(crate) fn last(&self) -> Option<Measure> {
        self.last.lock().clone()
    }

    /// Sets what metrics show.
    pub(crate) fn show(&self, full: bool) {
        self.full.set(i64::from(full));
    }

    /// Measures every directory; whether any has too little.
    fn measure(&self, was_low: bool) -> bool {
        let mut worst: Option<Measure> = None;
        let mut low = false;
        for directory in &self.directories {
            let space = match Space::of(directory) {
                Ok(space) => space,
                Err(error) => {
                    tracing::warn!(directory = %directory.display(), %error, "cannot see how much space is free");
                    continue;
                }
            };
            let min_free = self.min_free.of(space.total);
            low |= is_low(space, min_free, was_low);
            let name = directory.to_string_lossy();
            let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
            self.free.with_label_values(&[&*name]).set(signed(space.free));
            self.needed.with_label_values(&[&*name]).set(signed(min_free));
            let measure = Measure { directory: directory.clone(), free: space.free, min_free };
            let spare = |measure: &Measure| i128::from(measure.free) - i128::from(measure.min_free);
            if worst.as_ref().is_none_or(|worst| spare(&measure) < spare(worst)) {
                worst = Some(measure);
            }
        }
        *self.last.lock() = worst;
        low
    }
}

impl App {
    /// Measures once, before anything is written.
    pub(crate) fn look_at_storage(&self) {
        let room = self.log.room();
        let was_low = room.is_low();
        let low = self.storage.measure(was_low);
        room.set_low(low);
        if low == was_low {
            return;
        }
        let Some(Measure { directory, free, min_free }) = self.storage.last() else { return };
        let (directory, free, needed) = (directory.display(), free / MEBIBYTE, min_free / MEBIBYTE);
        if low {
            tracing::error!(
                "writes are refused, reads go on: {directory} has {free} MiB free and {needed} MiB must stay free; make \
                 room, enlarge the disk, or lower --min-free-space"
            );
        } else {
            tracing::info!("writes are accepted again: {directory} has {free} MiB free");
        }
    }

    /// Measures until the system stops.
    pub(crate) async fn watch_storage(self) {
        if self.storage.directories.is_empty() {
            return;
        }
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut was_low = false;
        loop {
            tokio::select! {
                _ = every.tick() => {}
                () = self.stopping.cancelled() => return,
            }
            self.look_at_storage();
            let low = self.log.room().is_low();
            if low && !was_low && self.config.database.database_url.is_none() {
                // What was written since the last checkpoint is kept twice until the next one.
                let checkpoint = sqlx::query("checkpoint").execute(&self.pool);
                if let Ok(Err(error)) = self.log.presence().guard(checkpoint).await {
                    tracing::warn!(%error, "a checkpoint would make room, and fails");
                }
            }
            was_low = low;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_amount_is_bytes_a_part_of_the_disk_or_left_to_us() {
        for (text, expected) in [
            ("0", MinFree::Bytes(0)),
            ("512MiB", MinFree::Bytes(512 * MEBIBYTE)),
            ("2 GB", MinFree::Bytes(2_000_000_000)),
            ("1.5gib", MinFree::Bytes(1536 * MEBIBYTE)),
            ("7.5%", MinFree::Percent(7.5)),
            ("auto", MinFree::Auto),
        ] {
            assert_eq!(text.parse::<MinFree>().unwrap(), expected, "{text}");
        }
        for text in ["", "much", "5 apples", "101%", "-1"] {
            assert!(text.parse::<MinFree>().unwrap_err().contains("512MiB"), "{text}");
        }
        let gibibyte = 1024 * MEBIBYTE;
        assert_eq!(MinFree::Auto.of(300 * MEBIBYTE), 64 * MEBIBYTE);
        assert_eq!(MinFree::Auto.of(20 * gibibyte), gibibyte);
        assert_eq!(MinFree::Auto.of(2000 * gibibyte), 2 * gibibyte);
        assert_eq!(MinFree::Percent(10.0).of(20 * gibibyte), 2 * gibibyte);
    }

    #[test]
    fn low_ends_only_with_some_more_than_it_began_with() {
        let has = |mebibytes| Space { free: mebibytes * MEBIBYTE, total: 1 << 40 };
        let min_free = 100 * MEBIBYTE;
        assert!(!is_low(has(100), min_free, false));
        assert!(is_low(has(99), min_free, false));
        assert!(is_low(has(124), min_free, true), "it would go to and fro");
        assert!(!is_low(has(125), min_free, true));
        // The gap does not grow with what must be free.
        assert!(!is_low(has(10_256), 10_000 * MEBIBYTE, true));
        assert!(!is_low(has(0), 0, false), "0 means never");
    }

    #[test]
    fn a_directory_that_is_not_there_yet_has_the_space_of_where_it_will_be() {
        let here = std::env::temp_dir();
        let total = Space::of(&here).unwrap().total;
        assert!(total > 0);
        assert_eq!(Space::of(&here.join("not/there/yet")).unwrap().total, total);
    }
}
