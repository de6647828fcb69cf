//! Journals that earlier versions of the program wrote: `tests/data/version-1` and `version-2` hold the same market round.
//! That of version 2 is what `examples/measure` wrote then; that of version 1 has the same payloads in version 1's frames.
#![allow(clippy::unwrap_used)] // a test

use grid::Timestamp;
use journal::measure::Trading;
use journal::{Durability, Fact, Journal, Options};
use market::{Ledger, MarketEvent};
use std::path::{Path, PathBuf};

/// What was recorded when the files were made.
fn recorded() -> Vec<Fact> {
    Trading::default().events(120).unwrap().into_iter().take(120).map(Fact::Market).collect()
}

/// Whether a fact does not depend on how the market decides.
fn is_given(fact: &Fact) -> bool {
    matches!(fact, Fact::Market(MarketEvent::OfferAccepted { .. } | MarketEvent::MeterRead { .. }))
}

fn copy(version: &str) -> tempfile::TempDir {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(version);
    let to = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let path: PathBuf = file.unwrap().path();
        std::fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

fn small() -> Options {
    Options { segment_bytes: 4_000, snapshot_bytes: 4_000, ..Options::new(Durability::Synced) }
}

#[test]
fn journals_of_versions_1_and_2_are_read_and_gone_on_from() {
    let facts = recorded();
    let mut earlier: Option<Vec<Fact>> = None;
    for version in ["version-1", "version-2"] {
        let directory = copy(version);
        let report = Journal::verify(directory.path()).unwrap();
        assert_eq!(report.faults, Vec::<String>::new(), "{version}");
        let entries = report.entries.iter();
        // What is bought may come out otherwise by now; what was handed in and metered was the same.
        let same = entries.clone().zip(&facts).filter(|(entry, _)| is_given(&entry.fact));
        assert!(
            same.clone().count() > 40 && same.clone().all(|(entry, fact)| entry.fact == *fact),
            "{version}"
        );
        let read: Vec<Fact> = entries.clone().map(|entry| entry.fact.clone()).collect();
        assert!(earlier.is_none_or(|earlier| earlier == read), "{version} reads otherwise");
        earlier = Some(read);
        assert!(entries.map(|entry| entry.number).eq(1..=facts.len() as u64));
        assert_eq!(report.entries[0].written_at, Timestamp::from_seconds(0));

        let mut opened = Journal::open_with(directory.path(), small()).unwrap();
        assert_eq!(opened.replayed as usize, facts.len());
        let mut ledger = Ledger::default();
        for entry in report.entries {
            if let Fact::Market(event) = entry.fact {
                ledger.take_record(market::RecordNumber(entry.number), event).unwrap();
            }
        }
        assert_eq!(opened.standing.ledger, ledger, "{version}");
        for _ in 0..200 {
            opened.journal.append([(Timestamp::from_seconds(1_764_000_900), &Fact::Reached)]).unwrap();
        }
        let made = opened.journal.snapshot_due().unwrap().make().unwrap();
        assert!(made.is_some_and(|number| number >= facts.len() as u64), "{version}: {made:?}");
        drop(opened);

        let again = Journal::open_with(directory.path(), small()).unwrap();
        assert_eq!((again.standing.records as usize, again.notes.len()), (facts.len() + 200, 0), "{version}");
        assert!(again.replayed < 200, "{version}: the snapshot is not used");
        assert_eq!(again.standing.ledger, ledger, "{version}");
        drop(again);
        let report = Journal::verify(directory.path()).unwrap();
        assert_eq!((report.entries.len(), report.faults.len()), (facts.len() + 200, 0), "{version}");
    }
}
