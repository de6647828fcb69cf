//! Copies that stop anywhere, and copies that were written to by a member whose words never reached the stream.

use super::*;
use std::path::PathBuf;

const FIRST: &str = journal::FILE_NAME;
const SECOND: &str = "market-000000000009.journal";

fn write(name: &str, at: u64, bytes: &[u8]) -> Operation {
    Operation::Write { name: name.into(), at, bytes: bytes.to_vec() }
}

/// What a stream holds: two segments, a group that was taken back, a segment that was begun and removed.
fn stream() -> Vec<Operation> {
    vec![
        Operation::Claim { member: "a".into() },
        write(FIRST, 0, b""),
        write(FIRST, 0, b"head"),
        write(FIRST, 4, b"one"),
        write(FIRST, 7, b"half"),
        write(FIRST, 7, b""),
        write(FIRST, 7, b"two"),
        write(SECOND, 0, b"begun"),
        Operation::Remove { name: SECOND.into() },
        write(FIRST, 10, b"three"),
        Operation::Claim { member: "b".into() },
        write(SECOND, 0, b"head"),
        write(SECOND, 4, b"four"),
    ]
}

fn apply(replica: &mut Replica, stream: &[Operation], from: u64) {
    for (nth, operation) in stream.iter().enumerate().skip(from as usize) {
        replica.apply(nth as u64 + 1, operation).unwrap();
    }
}

fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if is_segment(&name) {
            found.insert(name, std::fs::read(path).unwrap());
        }
    }
    found
}

fn whole() -> BTreeMap<String, Vec<u8>> {
    [(FIRST.to_owned(), b"headonetwothree".to_vec()), (SECOND.to_owned(), b"headfour".to_vec())].into()
}

#[test]
fn a_copy_is_the_same_wherever_it_stopped_and_whatever_was_synced() {
    let stream = stream();
    for stop in 0..=stream.len() {
        for synced in 0..=stop {
            let directory = tempfile::tempdir().unwrap();
            let mut replica = Replica::open(directory.path()).unwrap();
            apply(&mut replica, &stream[..synced], 0);
            replica.sync().unwrap();
            apply(&mut replica, &stream[..stop], synced as u64);
            drop(replica);
            let mut replica = Replica::open(directory.path()).unwrap();
            let known = replica.sequence();
            // Where something was taken back since, all of it comes anew.
            assert!(known == synced as u64 || known == 0);
            replica.go_on(stream.len() as u64).unwrap();
            apply(&mut replica, &stream, known);
            assert_eq!(contents(directory.path()), whole(), "stopped at {stop}, synced at {synced}");
        }
    }
}

#[test]
fn what_a_member_wrote_and_the_stream_never_had_is_cut_off() {
    let (stream, directory) = (stream(), tempfile::tempdir().unwrap());
    let mut replica = Replica::open(directory.path()).unwrap();
    apply(&mut replica, &stream, 0);
    replica.sync().unwrap();
    let folder = Folder::new(directory.path());
    folder.write(SECOND, 8, b"never sent").unwrap();
    folder.write("market-000000000042.journal", 0, b"never sent").unwrap();
    let before = contents(directory.path());
    let mut replica = Replica::open(directory.path()).unwrap();
    assert!(replica.go_on(1).is_err());
    assert_eq!(contents(directory.path()), before, "a stream that lost messages changes nothing");
    replica.go_on(stream.len() as u64).unwrap();
    let mut expected = whole();
    expected.insert("market-000000000042.journal".into(), Vec::new());
    assert_eq!(contents(directory.path()), expected);
    let beside = |name: &str| std::fs::read(directory.path().join(format!("{name}{CUT_OFF}"))).unwrap();
    assert_eq!(beside(SECOND), b"never sent", "it may be all that is left");
    assert_eq!(replica.sequence(), stream.len() as u64);
}

#[test]
fn a_copy_that_lost_bytes_begins_anew() {
    let (stream, directory) = (stream(), tempfile::tempdir().unwrap());
    let mut replica = Replica::open(directory.path()).unwrap();
    apply(&mut replica, &stream, 0);
    replica.sync().unwrap();
    Folder::new(directory.path()).remove(SECOND).unwrap();
    let mut replica = Replica::open(directory.path()).unwrap();
    assert_eq!(replica.sequence(), 0);
    apply(&mut replica, &stream, 0);
    assert_eq!(contents(directory.path()), whole());
}

#[test]
fn another_journal_is_never_overwritten() {
    let (stream, directory) = (stream(), tempfile::tempdir().unwrap());
    let mut replica = Replica::open(directory.path()).unwrap();
    apply(&mut replica, &stream, 0);
    replica.sync().unwrap();
    let ends = stream.len() as u64;
    let mut replica = Replica::open(directory.path()).unwrap();
    assert!(matches!(replica.go_on(ends - 1), Err(ReplicaError::Ahead { .. })));

    let directory = alone();
    let mut replica = Replica::open(directory.path()).unwrap();
    replica.go_on(ends).unwrap();
    replica.apply(1, &stream[0]).unwrap();
    assert!(matches!(replica.apply(2, &stream[1]), Err(ReplicaError::Foreign { .. })));
    assert_eq!(std::fs::read(directory.path().join(FIRST)).unwrap(), ALONE);
}

const ALONE: &[u8] = b"a journal of one machine";

fn alone() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(FIRST), ALONE).unwrap();
    directory
}

fn seeding(member: &str) -> Operation {
    Operation::Seeding { member: member.into() }
}

#[test]
fn a_journal_that_is_put_into_the_stream_is_known_as_such_until_all_of_it_is_there() {
    let directory = alone();
    // Whatever is looked at, synced or stopped before, it is not taken for a copy.
    for _ in 0..3 {
        let mut replica = Replica::open(directory.path()).unwrap();
        replica.go_on(0).unwrap();
        replica.sync().unwrap();
    }
    // Half of it gets there, then the member dies.
    let mut replica = Replica::open(directory.path()).unwrap();
    replica.follow(1, &Operation::Claim { member: "a".into() }).unwrap();
    let seed = replica.seed("a").unwrap();
    assert_eq!(seed, [seeding("a"), write(FIRST, 0, ALONE)]);
    let stream = [Operation::Claim { member: "a".into() }, seeding("a"), write(FIRST, 0, &ALONE[..7])];
    drop(replica);
    // Others do not serve from that, and it is not done to the journal of which it is half.
    let copied = tempfile::tempdir().unwrap();
    let mut other = Replica::open(copied.path()).unwrap();
    apply(&mut other, &stream, 0);
    assert!(!other.may_serve("b") && other.seeding() == Some("a"));
    let mut replica = Replica::open(directory.path()).unwrap();
    replica.go_on(3).unwrap();
    apply(&mut replica, &stream, 0);
    replica.sync().unwrap();
    assert!(replica.may_serve("a"));
    assert_eq!(std::fs::read(directory.path().join(FIRST)).unwrap(), ALONE);
    // It puts all of it in; it dies between the last byte and saying so.
    let rest = [Operation::Claim { member: "a".into() }, seeding("a"), write(FIRST, 0, ALONE)];
    replica.follow(4, &rest[0]).unwrap();
    assert_eq!(replica.seed("a").unwrap(), rest[1..]);
    replica.follow(5, &rest[1]).unwrap();
    replica.follow(6, &rest[2]).unwrap();
    replica.sync().unwrap();
    drop(replica);
    let mut replica = Replica::open(directory.path()).unwrap();
    replica.go_on(6).unwrap();
    assert_eq!((replica.sequence(), replica.seeding()), (6, Some("a")));
    assert_eq!(replica.seed("a").unwrap(), [], "it is a copy now");
    let all: Vec<_> = stream.into_iter().chain(rest).chain([Operation::Seeded]).collect();
    replica.follow(7, &Operation::Seeded).unwrap();
    apply(&mut other, &all, 3);
    assert!(other.may_serve("b"));
    assert_eq!(contents(copied.path()), contents(directory.path()));
}

#[test]
fn what_was_half_put_in_and_is_not_in_the_journal_any_more_goes() {
    let copied = tempfile::tempdir().unwrap();
    let mut other = Replica::open(copied.path()).unwrap();
    let stream = [
        seeding("a"),
        write(FIRST, 0, b"old"),
        write(SECOND, 0, b"half"),
        seeding("a"),
        write(FIRST, 0, b"n"),
    ];
    apply(&mut other, &stream, 0);
    assert_eq!(contents(copied.path()), [(FIRST.to_owned(), b"n".to_vec())].into());
}

#[test]
fn a_gap_in_the_stream_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut replica = Replica::open(directory.path()).unwrap();
    replica.apply(1, &write(FIRST, 0, b"head")).unwrap();
    let gap = replica.apply(2, &write(FIRST, 5, b"beyond"));
    assert!(matches!(gap, Err(ReplicaError::Gap { at: 5, length: 4, .. })));
    std::fs::write(directory.path().join(POSITION), b"{\"sequence\": -1}").unwrap();
    assert!(matches!(Replica::open(directory.path()), Err(ReplicaError::Damaged { .. })));
}
