//! Whether the list of parsers names every file that reads bytes.

use connectors::parsers::PARSERS;
use std::path::Path;

/// What a line has in it where bytes of others are read.
const SIGNS: &[&str] = &[
    "serde_json::from_",
    "toml::from_str",
    "FromStr for",
    "ReaderBuilder",
    "from_be_bytes",
    "from_le_bytes",
    "get_u16",
    "get_u32",
    "from_utf8(",
    "Packet::read",
];

/// Files that have such a line and are tried elsewhere, or read nothing of others.
const ELSEWHERE: &[(&str, &str)] = &[
    ("parsers.rs", "it calls the others"),
    ("acquisition/keys.rs", "private files of whoever starts the program"),
    ("acquisition/client/config.rs", "a private file of whoever starts the program"),
    ("acquisition/client/mod.rs", "receipts, which `acquisition` reads"),
    ("acquisition/client/progress.rs", "the program's own file"),
    ("acquisition/client/rejects.rs", "the program's own file"),
    ("acquisition/intake/log.rs", "the program's own file, under checksums; its own test damages it"),
    ("acquisition/mod.rs", "hexadecimal digits, and the door to its parsers"),
];

fn walk(folder: &Path, visit: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, visit) } else { visit(&path) }
    }
}

#[test]
fn every_file_that_reads_bytes_of_others_is_of_a_parser_or_says_why_not() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut with_signs = Vec::new();
    walk(&source, &mut |path| {
        let name = path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
        if name.contains("tests") {
            return;
        }
        let text = std::fs::read_to_string(path).unwrap();
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        if SIGNS.iter().any(|sign| product.contains(sign)) {
            with_signs.push(name);
        }
    });
    for name in &with_signs {
        let is_of =
            |files: &[&str]| files.iter().any(|file| name == file || name.starts_with(&format!("{file}/")));
        let is_parsed = PARSERS.iter().any(|parser| is_of(parser.files));
        let is_elsewhere = ELSEWHERE.iter().any(|(file, _)| name == file);
        if is_parsed == is_elsewhere {
            wrong.push(name.clone());
        }
    }
    assert!(wrong.is_empty(), "of no parser in connectors/src/parsers.rs, or of one and excused: {wrong:?}");
    for file in PARSERS.iter().flat_map(|parser| parser.files) {
        assert!(source.join(file).exists(), "{file} of a parser does not exist");
    }
    for (file, _) in ELSEWHERE {
        assert!(
            with_signs.iter().any(|name| name == file) || *file == "parsers.rs",
            "{file} needs no excuse"
        );
    }
}
