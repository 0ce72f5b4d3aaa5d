//! Images that earlier builds have left in the app's folder, as rwsgi writes them (`--output`).

use std::{fs::File, io, io::Read as _, path::Path};

/// The file that makes a folder an OCI layout, and the first of an archive (OCI image layout specification).
pub const MARK: &str = "oci-layout";

/// The list of a layout's images.
pub const INDEX: &str = "index.json";

/// No archive is smaller, in bytes: what is need not be read.
const SMALLEST: u64 = 1_000_000;

/// Whether a file of this size begins as an archive does.
pub fn is_archive(path: &Path, size: u64) -> io::Result<bool> {
    if size < SMALLEST {
        return Ok(false);
    }
    let mut start = [0; MARK.len() + 1];
    let is_filled = File::open(path)?.read_exact(&mut start);
    // A name in a tar ends with a zero.
    Ok(is_filled.is_ok() && start.strip_suffix(&[0]) == Some(MARK.as_bytes()))
}

/// Whether a folder is a layout with images.
pub fn is_layout(path: &Path) -> bool {
    path.join(MARK).is_file() && path.join(INDEX).is_file()
}
