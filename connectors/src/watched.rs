//! Files that are read again when they change, while the program runs.
//!
//! A file counts as changed when it looks different from when it was read, and the same twice in a row: one that is being
//! written is left alone. Whoever reads them decides what of it holds.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How often the files are looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// What tells a file from the same file after a change of its contents, owner or mode.
type Look = (SystemTime, u64, Option<(i64, i64, u64)>);

/// Some files, and how they looked when they were read.
#[derive(Debug)]
pub struct Watched {
    paths: Vec<PathBuf>,
    read: Vec<Option<Look>>,
    seen: Vec<Option<Look>>,
}

impl Watched {
    /// The files as they look now, before they are read.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let paths: Vec<PathBuf> = paths.into_iter().collect();
        let read = looks(&paths);
        Self { seen: read.clone(), read, paths }
    }

    /// Waits until some of them changed and rest; their names. Without any files it waits for ever. Must be awaited inside a tokio
    /// runtime; cancelling it loses no change.
    pub async fn changed(&mut self) -> String {
        if self.paths.is_empty() {
            std::future::pending::<()>().await;
        }
        loop {
            tokio::time::sleep(LOOK_PERIOD).await;
            let paths = self.paths.clone();
            // The runtime goes down: so does whoever waits.
            let Ok(now) = tokio::task::spawn_blocking(move || looks(&paths)).await else { continue };
            let (settled, changed) = (now == self.seen, now != self.read);
            self.seen = now;
            if settled && changed {
                let names = self.names();
                self.read.clone_from(&self.seen);
                return names;
            }
        }
    }

    fn names(&self) -> String {
        let pairs = self.paths.iter().zip(self.read.iter().zip(&self.seen));
        let changed =
            pairs.filter(|(_, (before, now))| before != now).map(|(path, _)| path.display().to_string());
        changed.collect::<Vec<_>>().join(", ")
    }
}

fn looks(paths: &[PathBuf]) -> Vec<Option<Look>> {
    paths.iter().map(|path| look(path)).collect()
}

fn look(path: &Path) -> Option<Look> {
    let metadata = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    let number = {
        use std::os::unix::fs::MetadataExt;
        Some((metadata.ctime(), metadata.ctime_nsec(), metadata.ino()))
    };
    #[cfg(not(unix))]
    let number = None;
    Some((metadata.modified().ok()?, metadata.len(), number))
}
