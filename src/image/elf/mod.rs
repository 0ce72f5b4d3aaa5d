//! Programs and shared libraries made smaller, by nothing but what no loader reads. ELF, 64 bits, little endian; anything
//! else is left alone.

mod dynamic;
mod file;
mod relocations;
mod strip;
mod versions;

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use memchr::memmem;

use self::versions::Version;
use crate::{
    exit::Fatal,
    image::{job::disk, layer::Contents},
};

/// What a C library has that reads relocations in their packed form.
const READS_PACKED: Version = Version { library: "libc.so.6", name: "GLIBC_ABI_DT_RELR" };

/// What the loader in the image can read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loader {
    /// Relocations in their packed form.
    unpacks: bool,
}

impl Loader {
    /// The loader that belongs to a C library.
    pub fn of(c_library: Option<&Path>) -> Self {
        // One that cannot be read is met again when it is put into the image.
        let library = c_library.and_then(|path| fs_err::read(path).ok()).unwrap_or_default();
        Self { unpacks: memmem::find(&library, READS_PACKED.name.as_bytes()).is_some() }
    }

    /// Adds an ELF file, as small as this loader can read it.
    pub fn add(self, contents: &mut Contents, place: PathBuf, file: &Path, executable: bool) -> Result<(), Fatal> {
        contents.depends_on(file);
        let content = fs_err::read(file).map_err(|error| disk::failed(&format!("read {}", file.display()), &error))?;
        let stripped = strip::strip(&content);
        let packed =
            self.unpacks.then(|| relocations::pack(stripped.as_deref().unwrap_or(&content), READS_PACKED)).flatten();
        match packed.or(stripped) {
            Some(smaller) => contents.bytes(place, smaller, executable),
            None => contents.file(place, file, executable),
        }
        Ok(())
    }
}

/// Whether a file is ELF, by its first bytes.
pub fn is_elf(path: &Path) -> bool {
    let mut start = [0; 4];
    fs_err::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"\x7fELF"
}

#[cfg(test)]
mod tests {
    use super::Loader;

    #[test]
    fn relocations_are_packed_for_a_c_library_that_says_it_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let reads = |content: &str| {
            let library = folder.path().join("libc.so.6");
            std::fs::write(&library, content).unwrap();
            Loader::of(Some(&library)).unpacks
        };
        assert!(reads("GLIBC_2.36\0GLIBC_ABI_DT_RELR\0"));
        assert!(!reads("GLIBC_2.31\0"));
        assert!(!Loader::of(None).unpacks);
    }
}
