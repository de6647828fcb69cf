//! Copies of a journal that is being traded into: every one is a whole journal with all that was acknowledged before it was begun, and
//! adds up to what the original added up to at the same record.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test
#![allow(clippy::disallowed_methods, clippy::print_stderr)] // outside the program there is only the wall clock

use grid::Timestamp;
use journal::measure::Trading;
use journal::{Durability, Entry, Fact, Journal, Options, Standing};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const COPIES: u64 = 25;

fn small() -> Options {
    Options { segment_bytes: 6_000, snapshot_bytes: 12_000, ..Options::new(Durability::Synced) }
}

fn facts(count: usize) -> Vec<Fact> {
    Trading::default().events(count).unwrap().into_iter().map(Fact::Market).collect()
}

/// Appends groups of one to nine facts and makes snapshots until it is told to stop or there are no more.
fn trade(directory: &Path, facts: &[Fact], acknowledged: &AtomicU64, stop: &AtomicBool) {
    let mut opened = Journal::open_with(directory, small()).unwrap();
    let (mut at, mut size) = (0, 1);
    while at < facts.len() && !stop.load(Ordering::SeqCst) {
        let group = &facts[at..facts.len().min(at + size)];
        opened.journal.append(group.iter().map(|fact| (Timestamp::from_seconds(0), fact))).unwrap();
        at += group.len();
        acknowledged.store(at as u64, Ordering::SeqCst);
        size = size % 9 + 1;
        std::thread::sleep(Duration::from_millis(1));
        if let Some(snapshotter) = opened.journal.snapshot_due() {
            snapshotter.make().unwrap();
        }
    }
}

/// The digest after each of these records, from the first one on.
fn digests(entries: Vec<Entry>, at: &[u64]) -> BTreeMap<u64, String> {
    let mut standing = Standing::default();
    let mut digests = BTreeMap::from([(0, standing.digest())]);
    for entry in entries {
        standing.fold(entry).unwrap();
        if at.contains(&standing.records) {
            digests.insert(standing.records, standing.digest());
        }
    }
    digests
}

#[test]
fn every_copy_of_a_journal_in_use_is_a_whole_beginning_of_it() {
    let place = tempfile::tempdir().unwrap();
    let (directory, facts) = (place.path().join("data"), facts(4_000));
    let (acknowledged, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut made = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| trade(&directory, &facts, &acknowledged, &stop));
        while acknowledged.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        for nth in 0..COPIES {
            std::thread::sleep(Duration::from_micros(nth * 6_170 % 30_000));
            let to = place.path().join(format!("copy-{nth}"));
            std::fs::create_dir(&to).unwrap();
            let before = acknowledged.load(Ordering::SeqCst);
            let copy = Journal::back_up(&directory, &to).unwrap();
            assert!(
                copy.records >= before,
                "{before} were acknowledged, and {} are in copy {nth}",
                copy.records
            );
            made.push((to, copy));
        }
        stop.store(true, Ordering::SeqCst);
    });
    let original = Journal::verify(&directory).unwrap();
    assert_eq!(original.faults, Vec::<String>::new());
    let at: Vec<u64> = made.iter().map(|(_, copy)| copy.records).collect();
    assert!(original.segments > 8 && at.iter().max() > at.first(), "too little happened: {at:?}");
    let states = digests(original.entries.clone(), &at);
    for (to, copy) in &made {
        assert_eq!(copy.state, states[&copy.records], "{}", to.display());
        let read = Journal::verify(to).unwrap();
        assert_eq!((read.torn_bytes, &read.faults, &read.notes), (0, &vec![], &vec![]), "{}", to.display());
        assert_eq!(read.entries[..], original.entries[..copy.records as usize]);
        if copy.records % 3 > 0 {
            continue;
        }
        // It is started from like any other, through its snapshots, and goes on.
        let mut opened = Journal::open_with(to, small()).unwrap();
        assert_eq!((opened.standing.records, opened.notes.len()), (copy.records, 0));
        assert_eq!(opened.standing.digest(), copy.state, "{}", to.display());
        opened.journal.append([(Timestamp::from_seconds(1), &Fact::Reached)]).unwrap();
        drop(opened);
        assert_eq!(Journal::verify(to).unwrap().entries.len() as u64, copy.records + 1);
    }
    eprintln!(
        "{} copies, of {} to {} records in {} segments",
        made.len(),
        at[0],
        at[at.len() - 1],
        original.segments
    );
}

#[test]
fn an_end_that_is_cut_off_a_copy_later_is_noticed() {
    let place = tempfile::tempdir().unwrap();
    let (directory, to) = (place.path().join("data"), place.path().join("copy"));
    std::fs::create_dir(&to).unwrap();
    trade(&directory, &facts(600), &AtomicU64::new(0), &AtomicBool::new(false));
    let copy = Journal::back_up(&directory, &to).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(&to).unwrap().map(|file| file.unwrap().path()).collect();
    names.retain(|path| journal::is_segment(path.file_name().unwrap().to_str().unwrap()));
    names.sort();
    // `market.journal` comes last by name.
    std::fs::remove_file(&names[names.len() - 2]).unwrap();
    let words = Journal::verify(&to).unwrap_err().to_string();
    assert!(words.contains(&format!("record {} was acknowledged", copy.records)), "{words}");
}

#[test]
fn a_journal_whose_old_segments_are_kept_elsewhere_is_copied_from_its_snapshot_on() {
    let place = tempfile::tempdir().unwrap();
    let (directory, to) = (place.path().join("data"), place.path().join("copy"));
    std::fs::create_dir(&to).unwrap();
    trade(&directory, &facts(2_000), &AtomicU64::new(0), &AtomicBool::new(false));
    let whole = Journal::open_with(&directory, small()).unwrap().standing;
    std::fs::remove_file(directory.join("market.journal")).unwrap();
    // The next start locks an empty one.
    drop(Journal::open_with(&directory, small()).unwrap());
    let copy = Journal::back_up(&directory, &to).unwrap();
    assert_eq!((copy.records, &copy.state), (whole.records, &whole.digest()));
    assert!(copy.notes[0].contains("are kept elsewhere"), "{:?}", copy.notes);
    assert_eq!(Journal::open_with(&to, small()).unwrap().standing.digest(), copy.state);
}

#[test]
fn nothing_is_made_of_a_journal_that_is_damaged() {
    let place = tempfile::tempdir().unwrap();
    let (directory, to) = (place.path().join("data"), place.path().join("copy"));
    std::fs::create_dir(&to).unwrap();
    trade(&directory, &facts(600), &AtomicU64::new(0), &AtomicBool::new(false));
    let first = directory.join("market.journal");
    let mut bytes = std::fs::read(&first).unwrap();
    bytes[700] ^= 4;
    std::fs::write(&first, bytes).unwrap();
    let words = Journal::back_up(&directory, &to).unwrap_err().to_string();
    assert!(words.contains("is damaged"), "{words}");
}
