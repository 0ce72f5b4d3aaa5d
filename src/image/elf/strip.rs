//! Strips a shared library or program: what is never loaded (symbol table, debug information) goes.
//!
//! Done here because `strip` may be missing, and because what it writes depends on its version, which a reproducible layer
//! must not. Loaded bytes are not touched, so nothing can move; the section table stays for what is kept, since profilers
//! and Python's own remote debugging look for sections by name.

use super::file::{
    HEADER, PROGRAM_HEADER, PT_LOAD, SECTION_COUNT, SECTION_NAMES, SECTIONS, SHF_ALLOC, SHT_NOBITS, is_known, put,
    put_number, sections, segments, u16_at,
};

/// The same file without what is never loaded; nothing if there is nothing to take away or its form is unknown.
pub fn strip(file: &[u8]) -> Option<Vec<u8>> {
    if !is_known(file) {
        return None;
    }
    let sections = sections(file)?;
    let names = sections.get(usize::from(u16_at(file, SECTION_NAMES)?))?;
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
    let old = sections.get(usize::from(u16_at(file, SECTION_NAMES)?))?.header;
    let header = stripped.len();
    stripped.extend_from_slice(old);
    put_number(&mut stripped, header + 24, names_offset);
    put_number(&mut stripped, SECTIONS, table);
    let count = u16::try_from(kept.len()).ok()?;
    put(&mut stripped, SECTION_COUNT, &(count + 1).to_le_bytes());
    put(&mut stripped, SECTION_NAMES, &count.to_le_bytes());
    (stripped.len() < file.len()).then_some(stripped)
}

/// Where the bytes end that the kernel or the loader maps.
fn loaded_end(file: &[u8]) -> Option<usize> {
    let segments = segments(file)?;
    let headers = segments.first().map_or(HEADER, |first| first.at + segments.len() * PROGRAM_HEADER);
    let loaded = segments.iter().filter(|segment| segment.kind == PT_LOAD);
    loaded.map(|segment| segment.offset + segment.size).chain([HEADER, headers]).max()
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
