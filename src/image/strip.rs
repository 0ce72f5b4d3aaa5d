//! Strips a shared library or program: what is never loaded (symbol table, debug information) goes.
//!
//! Done here because `strip` may be missing, and because what it writes depends on its version, which a reproducible layer
//! must not. Loaded bytes are not touched, so nothing can move; the section table stays for what is kept, since profilers
//! and Python's own remote debugging look for sections by name. ELF, 64 bits, little endian; anything else is left alone.

use std::path::{Path, PathBuf};

use crate::exit::Fatal;
use crate::image::disk;
use crate::image::layer::Contents;

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const SECTION_HEADER: usize = 64;
const PT_LOAD: u32 = 1;
const SHT_NOBITS: u32 = 8;
const SHF_ALLOC: u64 = 2;

struct Section<'a> {
    header: &'a [u8],
    kind: u32,
    flags: u64,
    offset: usize,
    size: usize,
    link: usize,
}

/// Adds an ELF file without what is never loaded of it.
pub fn add(contents: &mut Contents, place: PathBuf, file: &Path, executable: bool) -> Result<(), Fatal> {
    contents.depends_on(file);
    let content = fs_err::read(file).map_err(|error| disk::failed(&format!("read {}", file.display()), &error))?;
    match strip(&content) {
        Some(stripped) => contents.bytes(place, stripped, executable),
        None => contents.file(place, file, executable),
    }
    Ok(())
}

/// The same file without what is never loaded; nothing if there is nothing to take away or its form is unknown.
pub fn strip(file: &[u8]) -> Option<Vec<u8>> {
    if !file.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let sections = sections(file)?;
    let names = sections.get(usize::from(u16_at(file, 0x3e)?))?;
    let names = file.get(names.offset..names.offset.checked_add(names.size)?)?;
    // Numbers of sections occur inside what is kept, so only the end of the table can be cut off.
    let kept = sections.iter().skip(1).take_while(|section| section.flags & SHF_ALLOC != 0).count() + 1;
    let (kept, dropped) = sections.split_at(kept);
    if dropped.iter().any(|section| section.flags & SHF_ALLOC != 0)
        || kept.iter().any(|section| section.link >= kept.len())
    {
        return None;
    }
    let mut end = loaded_end(file)?;
    for section in kept.iter().filter(|section| section.kind != SHT_NOBITS) {
        end = end.max(section.offset.checked_add(section.size)?);
    }
    let mut stripped = file.get(..end)?.to_vec();
    let names_offset = stripped.len();
    stripped.extend_from_slice(names);
    stripped.resize(stripped.len().next_multiple_of(8), 0);
    let table = stripped.len();
    for section in kept {
        stripped.extend_from_slice(section.header);
    }
    let old = sections.get(usize::from(u16_at(file, 0x3e)?))?.header;
    let header = stripped.len();
    stripped.extend_from_slice(old);
    put(&mut stripped, header + 24, &(names_offset as u64).to_le_bytes());
    put(&mut stripped, 0x28, &(table as u64).to_le_bytes());
    let count = u16::try_from(kept.len()).ok()?;
    put(&mut stripped, 0x3c, &(count + 1).to_le_bytes());
    put(&mut stripped, 0x3e, &count.to_le_bytes());
    (stripped.len() < file.len()).then_some(stripped)
}

fn sections(file: &[u8]) -> Option<Vec<Section<'_>>> {
    let offset = usize_at(file, 0x28)?;
    if offset == 0 || usize::from(u16_at(file, 0x3a)?) != SECTION_HEADER {
        return None;
    }
    (0..usize::from(u16_at(file, 0x3c)?))
        .map(|index| {
            let start = offset.checked_add(index * SECTION_HEADER)?;
            let header = file.get(start..start.checked_add(SECTION_HEADER)?)?;
            Some(Section {
                header,
                kind: u32_at(header, 4)?,
                flags: u64_at(header, 8)?,
                offset: usize_at(header, 24)?,
                size: usize_at(header, 32)?,
                link: usize::try_from(u32_at(header, 40)?).ok()?,
            })
        })
        .collect()
}

/// Where the bytes end that the kernel or the loader maps.
fn loaded_end(file: &[u8]) -> Option<usize> {
    let offset = usize_at(file, 0x20)?;
    let count = usize::from(u16_at(file, 0x38)?);
    if usize::from(u16_at(file, 0x36)?) != PROGRAM_HEADER {
        return None;
    }
    let mut end = HEADER.max(offset.checked_add(count * PROGRAM_HEADER)?);
    for index in 0..count {
        let header = file.get(offset + index * PROGRAM_HEADER..)?;
        if u32_at(header, 0)? == PT_LOAD {
            end = end.max(usize_at(header, 8)?.checked_add(usize_at(header, 32)?)?);
        }
    }
    Some(end)
}

fn put(file: &mut [u8], offset: usize, value: &[u8]) {
    file[offset..offset + value.len()].copy_from_slice(value);
}

fn u16_at(file: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(file.get(offset..offset + 2)?.try_into().ok()?))
}

fn u32_at(file: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(file.get(offset..offset + 4)?.try_into().ok()?))
}

fn u64_at(file: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(file.get(offset..offset + 8)?.try_into().ok()?))
}

fn usize_at(file: &[u8], offset: usize) -> Option<usize> {
    usize::try_from(u64_at(file, offset)?).ok()
}

#[cfg(test)]
mod tests {
    use super::{sections, strip};

    #[test]
    fn what_is_not_such_a_file_is_left_alone() {
        for file in
            [&b""[..], b"\x7fELF", b"#!/bin/sh\n", b"\x7fELF\x02\x01", &[0x7f, b'E', b'L', b'F', 2, 1, 0, 0, 0, 0]]
        {
            assert_eq!(strip(file), None);
        }
    }

    #[test]
    fn a_program_keeps_its_loaded_bytes_and_its_section_names() {
        let program = std::env::current_exe().and_then(std::fs::read).unwrap();
        let Some(stripped) = strip(&program) else { return };
        assert!(stripped.len() < program.len());
        assert!(sections(&stripped).is_some_and(|sections| sections.len() > 10));
        assert_eq!(strip(&stripped), None, "a second time finds nothing");
    }
}
