//! Which rows are taken, without a server: a sorted list stands for the table.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers outside the test functions may fail a test too

use super::super::config::AcquireConfig;
use super::super::config::{Database, Origin};
use super::taken::{Key, Page, Seen, Taken, Taking};
use crate::acquisition::keys::SiteKey;
use crate::acquisition::mapping::Mapping;
use crate::acquisition::pseudonym::Pseudonymiser;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn written(folder: &Path, more: &str) -> Result<Database, String> {
    let text = format!(
        "[platform]\naddress = \"127.0.0.1:1883\"\narea = \"riverside\"\n\
         [database]\naddress = \"127.0.0.1:5432\"\nname = \"historian\"\nuser = \"gridflex\"\n{more}"
    );
    let path = folder.join("acquire.toml");
    std::fs::write(&path, text).unwrap();
    match AcquireConfig::read(&path).map_err(|error| error.to_string())?.origin {
        Origin::Database(database) => Ok(*database),
        Origin::Files(_) => panic!("no files are named"),
    }
}

fn mapping(folder: &Path) -> Mapping {
    let table = folder.join("mapping");
    std::fs::write(&table, "private_id,classification_id\n1,PRE-001\n").unwrap();
    std::fs::set_permissions(&table, std::fs::Permissions::from_mode(0o600)).unwrap();
    let site = SiteKey::generate("w", "s", "r", "1").unwrap();
    Mapping::read(&table, &Pseudonymiser::new(&site)).unwrap()
}

/// What the server answers.
fn page(table: &BTreeMap<u32, u32>, from: Option<&Key>, last: Option<&Key>, limit: usize) -> Page {
    let number = |key: &Key| key[0].parse::<u32>().unwrap();
    let (from, last) = (from.map_or(0, number), last.map_or(0, number));
    let rows: Vec<Seen> = table
        .range(from..)
        .take(limit)
        .map(|(&key, &value)| Seen {
            key: vec![key.to_string()],
            fields: ["1".to_owned(), "2026-10-01 08:00:00+00".to_owned(), value.to_string()].map(Some),
            is_after: key > last,
        })
        .collect();
    Page { is_full: rows.len() == limit, rows }
}

/// One look at the table, in pages; what is taken is told.
fn look(
    taken: &mut Taken,
    table: &BTreeMap<u32, u32>,
    taking: &Taking<'_>,
    room: usize,
    told: &mut Vec<u32>,
) {
    let mut from: Option<Key> = None;
    loop {
        let ends = taken.ends().map(|(first, last)| (first.clone(), last.clone()));
        let begin = from.clone().or(ends.as_ref().map(|ends| ends.0.clone()));
        let limit = room + if from.is_some() { 1 } else { taking.database.look_back };
        let page = page(table, begin.as_ref(), ends.as_ref().map(|ends| &ends.1), limit);
        taken.take(&page, from.as_ref(), taking).unwrap();
        // As after a crash: what is noted is all that is known.
        *taken = serde_json::from_slice(&serde_json::to_vec(&*taken).unwrap()).unwrap();
        from = page.rows.last().filter(|_| page.is_full).map(|seen| seen.key.clone());
        while let Some(batch) = taken.batch(0) {
            assert!(batch.rows.len() <= taking.batch && batch.first == taken.line + 1);
            told.extend(batch.rows.iter().map(|row| row.value as u32));
            taken.is_kept();
        }
        if from.is_none() {
            return;
        }
    }
}

proptest! {
    /// Rows come, some between others, and go; every row that comes at most `look_back` rows back is taken once.
    #[test]
    fn every_row_is_taken_once(
        steps in prop::collection::vec(prop::collection::vec((any::<bool>(), 0_usize..20, 1_u32..6), 0..8), 1..12),
        look_back in 8_usize..30,
        room in 1_usize..20,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let more = format!("table = \"readings\"\nkey = [\"id\"]\nlook_back = {look_back}");
        let (database, mapping) = (written(folder.path(), &more).unwrap(), mapping(folder.path()));
        let taking = Taking { database: &database, mapping: &mapping, batch: 7 };
        let mut taken = Taken::begin(&database).unwrap();
        let (mut table, mut told, mut expected) = (BTreeMap::new(), Vec::new(), Vec::new());
        for step in steps {
            // No more rows come late in one step, and not farther back, than is looked at again.
            let keys: Vec<u32> = table.keys().rev().take(look_back - 8).copied().collect();
            for (late, back, gap) in step {
                let last = table.keys().last().copied().unwrap_or(0);
                let key = match keys.get(back) {
                    Some(key) if late => key + gap,
                    _ => last + gap * 100,
                };
                if let std::collections::btree_map::Entry::Vacant(place) = table.entry(key) {
                    place.insert(key);
                    expected.push(key);
                }
            }
            look(&mut taken, &table, &taking, room, &mut told);
        }
        told.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(told, expected);
    }

    /// Whatever is deleted, nothing is taken twice and what is added at the end is taken.
    #[test]
    fn rows_that_are_deleted_double_nothing(
        steps in prop::collection::vec((0_u32..10, prop::collection::vec(0_usize..40, 0..20)), 1..12),
        look_back in 1_usize..12,
        room in 1_usize..10,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let more = format!("table = \"readings\"\nkey = [\"id\"]\nlook_back = {look_back}");
        let (database, mapping) = (written(folder.path(), &more).unwrap(), mapping(folder.path()));
        let taking = Taking { database: &database, mapping: &mapping, batch: 7 };
        let mut taken = Taken::begin(&database).unwrap();
        let (mut table, mut told, mut next) = (BTreeMap::new(), Vec::new(), 0);
        for (count, deleted) in steps {
            for _ in 0..count {
                next += 1;
                table.insert(next, next);
            }
            look(&mut taken, &table, &taking, room, &mut told);
            for back in deleted {
                if let Some(key) = table.keys().rev().nth(back).copied() {
                    table.remove(&key);
                }
            }
        }
        prop_assert_eq!(told, (1..=next).collect::<Vec<_>>());
    }
}

#[test]
fn settings_that_cannot_be_meant_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = "table = \"readings\"\nkey = [\"id\"]\n";
    assert!(written(folder.path(), good).is_ok());
    std::fs::write(folder.path().join("open"), "secret").unwrap();
    std::fs::set_permissions(folder.path().join("open"), std::fs::Permissions::from_mode(0o644)).unwrap();
    for (more, words) in [
        ("key = [\"id\"]", "database.table or database.query"),
        ("table = \"a\"\nquery = \"SELECT 1\"\nkey = [\"id\"]", "database.table or database.query"),
        ("table = \"a.b.c\"\nkey = [\"id\"]", "schema.table"),
        ("table = \"\"\nkey = [\"id\"]", "no name"),
        ("query = \" ; \"\nkey = [\"id\"]", "database.query"),
        ("table = \"a\"\nkey = []", "names 0 columns"),
        ("table = \"a\"\nkey = [\"id\", \"id\"]", "different"),
        ("table = \"a\"", "key"),
        (&format!("{good}look_back = 0"), "1 to 10000"),
        (&format!("{good}timeout_s = 0.5"), "timeout_s"),
        (&format!("{good}time_zone = \"Atlantis\""), "Europe/Berlin"),
        (&format!("{good}columns = {{ id = \"x\" }}"), "columns.id is not known"),
        (&format!("{good}password_env = \"GRIDFLEX_NO_SUCH_VARIABLE\""), "GRIDFLEX_NO_SUCH_VARIABLE"),
        (&format!("{good}password_env = \"HOME\"\npassword_file = \"x\""), "one of them"),
        (&format!("{good}password_file = \"open\""), "chmod 600"),
        (&format!("{good}passwort = \"x\""), "unknown field"),
        (&format!("{good}[files]\nfolder = \"x\""), "one of them"),
    ] {
        let said = written(folder.path(), more).unwrap_err();
        assert!(said.contains(words), "{more}: {said}");
    }
    let said =
        written(folder.path(), &format!("{good}password_env = \"HOME\"")).map(|read| format!("{read:?}"));
    assert!(said.unwrap().contains("not shown"));
}
