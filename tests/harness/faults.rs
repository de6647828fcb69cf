//! Faults of the disk below a program that is not told: `faults.c`, compiled here and loaded before it.

use super::text;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The faults of one program; none at first.
pub struct Faults {
    library: PathBuf,
    list: PathBuf,
}

impl Faults {
    /// Compiles them; `None` and a loud word where there is no C compiler.
    #[allow(clippy::print_stderr)] // what a test skips it says
    pub fn new(directory: &Path) -> Option<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harness/faults.c");
        let library = directory.join("faults.so");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o", text(&library), text(&source), "-ldl"])
            .status();
        match compiled {
            Ok(status) => assert!(status.success(), "faults.c does not compile"),
            Err(error) => {
                eprintln!("SKIPPED: there is no C compiler ({error}); no fault of a disk is tried");
                return None;
            }
        }
        Some(Self { library, list: directory.join("faults.list") })
    }

    /// Below this program.
    pub fn below(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("GRIDFLEX_FAULTS", &self.list);
    }

    /// What happens from now on: lines of `faults.c`; none for nothing.
    pub fn are(&self, lines: &str) {
        if lines.is_empty() {
            let _ = std::fs::remove_file(&self.list);
            return;
        }
        // In one step: it is read all the time.
        let next = self.list.with_extension("next");
        std::fs::write(&next, lines).unwrap();
        std::fs::rename(&next, &self.list).unwrap();
    }
}
