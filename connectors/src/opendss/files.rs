//! Where scripts come from: a folder, and nothing above it.

use std::io::{Error, ErrorKind, Read, Result};
use std::path::{Component, Path, PathBuf};

/// Largest file read, bytes.
pub const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Gives scripts and data files by their path below a root.
pub trait Files {
    /// The bytes of a file; the path has no `..` and is relative to the root.
    ///
    /// # Errors
    /// What the operating system says.
    fn read(&mut self, path: &Path) -> Result<Vec<u8>>;
}

/// A folder of the file system. Names that differ in case only are found, as scripts were written on another system.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Everything below `root` may be read.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

impl Files for Folder {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>> {
        let root = self.root.canonicalize()?;
        let found = find(&root, path)?.canonicalize()?;
        // A symbolic link may lead out.
        if !found.starts_with(&root) {
            return Err(Error::new(ErrorKind::PermissionDenied, "it lies outside of the folder"));
        }
        let mut bytes = Vec::new();
        std::fs::File::open(&found)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(Error::new(ErrorKind::FileTooLarge, format!("more than {FILE_BYTES_MAX} bytes")));
        }
        Ok(bytes)
    }
}

/// The file as named, or the first in alphabetical order whose name differs in case only.
fn find(root: &Path, path: &Path) -> Result<PathBuf> {
    let mut at = root.to_owned();
    for part in path.components() {
        let exact = at.join(part);
        if exact.exists() {
            at = exact;
            continue;
        }
        let wanted = part.as_os_str().to_string_lossy();
        let entries = std::fs::read_dir(&at)?.filter_map(std::result::Result::ok);
        let alike = entries.map(|entry| entry.file_name());
        let alike = alike.filter(|name| name.to_string_lossy().eq_ignore_ascii_case(&wanted)).min();
        at = at.join(alike.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such file"))?);
    }
    Ok(at)
}

/// A path as a script writes it, from the folder of that script; `None` when it leaves the root.
pub(super) fn resolve(folder: &Path, written: &str) -> Option<PathBuf> {
    let written = written.trim().replace('\\', "/");
    let mut path = folder.to_owned();
    for part in Path::new(&written).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => path.push(name),
            Component::ParentDir if path.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_above_the_root_is_reached() {
        let folder = Path::new("13Bus");
        assert_eq!(resolve(folder, "..\\codes.dss"), Some(PathBuf::from("codes.dss")));
        assert_eq!(resolve(folder, "./a/b.txt"), Some(PathBuf::from("13Bus/a/b.txt")));
        assert_eq!(resolve(folder, "../../codes.dss"), None);
        assert_eq!(resolve(folder, "/etc/passwd"), None);
    }

    #[test]
    fn names_are_found_whatever_their_case_and_links_do_not_lead_out() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("Master.dss"), "clear").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), root.path().join("link")).unwrap();
        let mut folder = Folder::new(root.path());
        assert_eq!(folder.read(Path::new("MASTER.DSS")).unwrap(), b"clear");
        assert!(folder.read(Path::new("link")).is_err());
        assert!(folder.read(Path::new("absent")).is_err());
    }
}
