//! Names and last lines that last.
//!
//! A file that was synced may still be gone after a power cut: the folder that names it has to be synced as well.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Makes a folder, and those above it that are missing, so that it lasts.
///
/// # Errors
/// The operating system's.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    let above = folder.ancestors().skip(1);
    let missing = above.take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).count();
    std::fs::create_dir_all(folder)?;
    // Its own name in any case: whoever made it may have died before it lasted.
    folder.ancestors().take(missing + 1).try_for_each(sync_name)
}

/// Makes the name of a file or folder last, after it was made or put in place of another.
///
/// # Errors
/// The operating system's.
pub fn sync_name(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| {
        sync_folder(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
    })
}

/// Makes all names in a folder last.
///
/// # Errors
/// The operating system's.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Whether the last line of a text file, with its end if it has one, may be what a crash left of it: without its end, or with zeros in
/// it, which text never has, where a sector was not written.
pub fn is_torn(line: &[u8]) -> bool {
    !line.ends_with(b"\n") || line.contains(&0)
}

/// Ends a file at byte `end` and writes its last record, which begins at byte `last`, once more. A process that stopped after a failed sync
/// has left it where everybody reads it and the operating system takes it for written: a power cut would tear a hole before what is
/// appended now. The file is open for reading and writing, not for appending only; what is written next goes to `end`.
///
/// # Errors
/// The operating system's.
pub fn make_last(file: &mut File, last: u64, end: u64) -> io::Result<()> {
    file.set_len(end)?;
    file.seek(SeekFrom::Start(last))?;
    let mut record = Vec::new();
    file.read_to_end(&mut record)?;
    file.seek(SeekFrom::Start(last))?;
    file.write_all(&record)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_on_behind_its_last_whole_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lines");
        std::fs::write(&path, "one\ntwo\nthr").unwrap();
        let mut file = File::options().read(true).write(true).open(&path).unwrap();
        make_last(&mut file, 4, 8).unwrap();
        file.write_all(b"three\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\nthree\n");
        assert!(is_torn(b"thr") && is_torn(b"th\0ee\n") && !is_torn(b"three\n"));
    }

    #[test]
    fn folders_are_made_with_those_above_them_and_again() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("a/b/c");
        make_folder(&folder).unwrap();
        make_folder(&folder).unwrap();
        assert!(folder.is_dir());
        sync_name(Path::new("name-without-folder")).unwrap();
        sync_name(Path::new("/")).unwrap();
        assert!(sync_name(&directory.path().join("missing/file")).is_err());
    }
}
