//! Names that last. A file that was synced may still be gone after a power cut: the folder that names it has to be synced as well.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes a folder, and those above it that are missing, so that it lasts.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    let above = folder.ancestors().skip(1);
    let missing = above.take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).count();
    std::fs::create_dir_all(folder)?;
    // Its own name in any case: whoever made it may have died before it lasted.
    folder.ancestors().take(missing + 1).try_for_each(sync_name)
}

/// Makes the name of a file or folder last, after it was made or put in place of another.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}
