//! Journals that earlier versions of the program wrote: `tests/data/version-1` and `version-2` hold the same market round.
//! That of version 2 is what `examples/measure` wrote then; that of version 1 has the same payloads in version 1's frames.
//! And journals that a later version wrote: those are left alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test

use grid::Timestamp;
use grid::packed::Packed;
use journal::measure::Trading;
use journal::{Durability, Fact, Journal, JournalError, Options};
use market::{Ledger, MarketEvent};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
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

/// Names and bytes of all files.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    files.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// A journal of today with a few records, and the chain of its newest.
fn of_today() -> (tempfile::TempDir, u64, [u8; 32]) {
    let directory = tempfile::tempdir().unwrap();
    let mut opened = Journal::open_with(directory.path(), small()).unwrap();
    for fact in recorded() {
        opened.journal.append([(Timestamp::from_seconds(0), &fact)]).unwrap();
    }
    drop(opened);
    let tip = std::fs::read_to_string(directory.path().join("market.tip")).unwrap();
    let mut words = tip.split_whitespace().skip(4);
    let (number, digits) = (words.next().unwrap().parse().unwrap(), words.nth(1).unwrap());
    let byte = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap();
    (directory, number, std::array::from_fn(byte))
}

fn newest_segment(directory: &Path) -> PathBuf {
    let names =
        contents(directory).into_keys().filter(|path| path.extension().is_some_and(|end| end == "journal"));
    names.filter(|path| path.file_name().unwrap() != "market.journal").max().unwrap()
}

/// A group of one record with this fact, as a later version of the program may write one.
fn group(first: u64, before: [u8; 32], fact: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    Timestamp::from_seconds(0).pack(&mut payload);
    payload.extend_from_slice(fact);
    let length = (payload.len() as u32).to_le_bytes();
    let chain = Sha256::new().chain_update(before).chain_update(length).chain_update(&payload).finalize();
    let record = [&length[..], &chain, &payload].concat();
    let mut group = b"GFGROUP\n".to_vec();
    group.extend_from_slice(&first.to_le_bytes());
    group.extend_from_slice(&1_u32.to_le_bytes());
    group.extend_from_slice(&(record.len() as u32).to_le_bytes());
    group.extend_from_slice(&before);
    let check = Sha256::digest(&group);
    group.extend_from_slice(&check[..8]);
    group.extend_from_slice(&record);
    group.resize(group.len().next_multiple_of(512), 0);
    group
}

/// The text of a head or of a tip with its check, filled up to its length.
fn checked(words: &str, length: usize) -> Vec<u8> {
    let check: String = Sha256::digest(words).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let mut line = format!("{words}check {check}").into_bytes();
    line.resize(length - 1, b' ');
    line.push(b'\n');
    line
}

/// Opening, verifying and copying all say that a newer program wrote it and what is not known; and nothing in it changes.
fn is_left_to_the_newer_program(directory: &Path, what: &str) {
    let before = contents(directory);
    let refused = [
        Journal::open_with(directory, small()).map(drop),
        Journal::verify(directory).map(drop),
        Journal::back_up(directory, tempfile::tempdir().unwrap().path()).map(drop),
    ];
    for refused in refused {
        let error = refused.expect_err(what);
        let words = error.to_string();
        assert!(words.contains("written by a newer gridflex than this one (0."), "{words}");
        assert!(words.contains(what) && words.contains("start with the newer program"), "{words}");
        assert!(matches!(error, JournalError::Newer { .. }) && !error.is_finding(), "{words}");
    }
    assert_eq!(contents(directory), before, "{what}");
}

#[test]
fn a_segment_of_a_newer_version_is_left_to_the_newer_program() {
    let (directory, number, chain) = of_today();
    let chain: String = chain.iter().map(|byte| format!("{byte:02x}")).collect();
    let head = checked(&format!("gridflex journal 4 first {:012} after {chain} ", number + 1), 512);
    let next = directory.path().join(format!("market-{:012}.journal", number + 1));
    std::fs::write(&next, head).unwrap();
    is_left_to_the_newer_program(directory.path(), "it is a journal of version 4; known here are 1 to 3");
    // A journal that a newer program began, with a head of another form.
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("market.journal"), b"gridflex journal 12\nsomething else").unwrap();
    is_left_to_the_newer_program(directory.path(), "version 12");
    let file = directory.path().join("other.journal");
    std::fs::copy(directory.path().join("market.journal"), &file).unwrap();
    assert!(matches!(Journal::verify(&file), Err(JournalError::Newer { .. })));
}

#[test]
fn a_record_that_is_not_known_is_left_to_the_newer_program() {
    // The numbers of choices are packed as one byte with its highest bit set: fact 7, and market fact 99.
    for (fact, what) in [(&[0x87_u8][..], "no such Fact"), (&[0x82, 0xe3, 0x81], "no such MarketEvent")] {
        let (directory, number, chain) = of_today();
        let segment = newest_segment(directory.path());
        let mut bytes = std::fs::read(&segment).unwrap();
        bytes.extend(group(number + 1, chain, fact));
        std::fs::write(&segment, bytes).unwrap();
        let what = format!("record {} is whole, and not known here ({what})", number + 1);
        is_left_to_the_newer_program(directory.path(), &what);
    }
}

#[test]
fn a_tip_of_a_newer_version_is_left_to_the_newer_program_and_a_snapshot_of_one_passed_over() {
    let (directory, number, _) = of_today();
    let tip = directory.path().join("market.tip");
    let words = std::fs::read_to_string(&tip).unwrap();
    let newer = words.split("check ").next().unwrap().replace("tip 1", "tip 2");
    std::fs::write(&tip, checked(&newer, 160)).unwrap();
    is_left_to_the_newer_program(directory.path(), "it is a tip of version 2; known here is 1");
    std::fs::write(&tip, words).unwrap();

    let mut opened = Journal::open_with(directory.path(), small()).unwrap();
    opened.journal.append([(Timestamp::from_seconds(0), &Fact::Reached)]).unwrap();
    opened.journal.snapshotter().make().unwrap().unwrap();
    drop(opened);
    let files = contents(directory.path());
    let (snapshot, bytes) =
        files.iter().find(|(path, _)| path.extension().is_some_and(|end| end == "snapshot")).unwrap();
    let words = String::from_utf8(bytes[..512].to_vec()).unwrap();
    let newer = checked(&words.split("check ").next().unwrap().replace("snapshot 5", "snapshot 6"), 512);
    std::fs::write(snapshot, [&newer, &bytes[512..]].concat()).unwrap();
    let report = Journal::verify(directory.path()).unwrap();
    assert_eq!((report.faults.len(), report.snapshots.len()), (0, 0));
    assert!(report.notes[0].ends_with("is of a newer version of the program"), "{:?}", report.notes);
    let opened = Journal::open_with(directory.path(), small()).unwrap();
    assert_eq!((opened.standing.records, opened.replayed), (number + 1, number + 1));
    assert!(snapshot.exists(), "what the newer program made is still there");
}

#[test]
fn a_version_that_was_damaged_is_damage() {
    let (directory, ..) = of_today();
    let segment = newest_segment(directory.path());
    let whole = std::fs::read(&segment).unwrap();
    for digit in (b'0'..=b'9').filter(|digit| *digit != b'3') {
        let mut bytes = whole.clone();
        bytes["gridflex journal ".len()] = digit;
        std::fs::write(&segment, bytes).unwrap();
        let found = Journal::verify(directory.path()).unwrap_err();
        assert!(matches!(found, JournalError::Damaged { .. }), "{}: {found}", char::from(digit));
    }
}
