//! Packs the relocations of a shared library: those that only add where it was loaded, which are nearly all.
//!
//! Each of them takes 24 bytes as linkers write them unless told otherwise (`DT_RELA`), and about a third of a byte as a bit
//! beside its neighbours (`DT_RELR`, generic ABI), with what is added to at its own place. Addresses stay as they are: the
//! table is at the end of the first segment, which gets shorter, and what follows moves up in the file by whole pages.
//!
//! glibc refuses the packed form in a file that does not say that it needs a C library which can read it.

use std::ops::Range;

use super::dynamic::{
    DT_JMPREL, DT_PLTRELSZ, DT_RELA, DT_RELACOUNT, DT_RELASZ, DT_RELR, DT_RELRENT, DT_RELRSZ, DT_STRSZ, DT_STRTAB,
    DT_TEXTREL, Dynamic,
};
use super::file::{
    PT_DYNAMIC, PT_LOAD, SECTIONS, SHT_NOBITS, Segment, is_known, machine, put, put_number, sections, segments, u64_at,
    usize_at,
};
use super::versions::{self, NEED, New, Version};

/// What is added to is the load address alone, by the processor's number: `R_X86_64_RELATIVE`, `R_AARCH64_RELATIVE`.
const RELATIVE: [(u16, u64); 2] = [(62, 8), (183, 1027)];
/// One relocation: where, what kind, and what to add.
const RELOCATION: usize = 24;
const WORD: u64 = 8;
/// How many words after the first one each further entry stands for.
const BITS: u64 = 63;

/// The same library with its relocations packed, for a C library that has the version `reader`; nothing if that saves no page
/// or its form is not the usual one.
pub fn pack(file: &[u8], reader: Version) -> Option<Vec<u8>> {
    if !is_known(file) {
        return None;
    }
    let (_, relative) = *RELATIVE.iter().find(|(number, _)| machine(file) == Some(*number))?;
    let segments = segments(file)?;
    let loaded = || segments.iter().filter(|segment| segment.kind == PT_LOAD);
    let mut dynamic = Dynamic::read(file, segments.iter().find(|segment| segment.kind == PT_DYNAMIC)?)?;
    if dynamic.get(DT_RELR).is_some() || dynamic.get(DT_TEXTREL).is_some() {
        return None;
    }
    let address = dynamic.get(DT_RELA)?;
    let size = usize::try_from(dynamic.get(DT_RELASZ)?).ok()?;
    let segment = loaded().find(|segment| segment.place(address, size).is_some())?;
    let start = segment.place(address, size)?;
    // What is called through the procedure linkage table has a table of its own, behind.
    let calls = match (dynamic.get(DT_JMPREL), dynamic.get(DT_PLTRELSZ)) {
        (Some(at), Some(size)) if Some(at) == address.checked_add(dynamic.get(DT_RELASZ)?) => {
            let size = usize::try_from(size).ok()?;
            file.get(segment.place(at, size)?..)?.get(..size)?
        }
        (None, None) => &[],
        _ => return None,
    };
    let end = segment.offset + segment.size;
    let used = start + size + calls.len();
    let next = loaded().map(|segment| segment.offset).filter(|offset| *offset >= end).min()?;
    let is_moved = |offset: usize| offset >= next;
    // The headers themselves stay where they are.
    let is_clear = |other: &Segment| other.at < start && (other.offset <= start || is_moved(other.offset));
    if !(used..used + 16).contains(&end) || !segments.iter().all(is_clear) {
        return None;
    }

    let mut file = file.to_vec();
    let place = |address, length| loaded().find_map(|segment| segment.place(address, length));
    let (kept, places) = take_out(&mut file, start..start + size, relative, &place)?;
    let packed = encode(&places);
    let packed_address = address + kept.len() as u64;
    let calls_address = packed_address + packed.len() as u64;
    let needed_at = calls_address + calls.len() as u64;
    let name_at = needed_at + NEED as u64;
    let strings = dynamic.get(DT_STRTAB)?;
    let name = u32::try_from(name_at.checked_sub(strings)?).ok()?;
    let needed = versions::need(&mut file, &dynamic, &place, reader, &New { address: needed_at, name })?;
    let table = [&kept[..], &packed, calls, &needed, reader.name.as_bytes(), b"\0"].concat();
    let new_end = start + table.len();
    let page = loaded().map(|segment| segment.alignment).max().filter(|page| page.is_power_of_two())?;
    let removed = next.checked_sub(new_end)? / page * page;
    if removed == 0 {
        return None;
    }

    // The name of the version is behind all others, as if they reached so far.
    dynamic.set(DT_STRSZ, u64::from(name) + reader.name.len() as u64 + 1);
    dynamic.set(DT_RELASZ, kept.len() as u64);
    // How many of the rest are of that kind is a hint, which none is right for.
    dynamic.set(DT_RELACOUNT, 0);
    dynamic.set(DT_JMPREL, calls_address);
    dynamic.add(&[(DT_RELR, packed_address), (DT_RELRSZ, packed.len() as u64), (DT_RELRENT, WORD)])?;
    dynamic.write(&mut file);
    for other in &segments {
        if is_moved(other.offset) {
            put_number(&mut file, other.at + 8, other.offset - removed);
        }
    }
    let new_size = new_end - segment.offset;
    put_number(&mut file, segment.at + 32, new_size);
    put_number(&mut file, segment.at + 40, new_size);
    correct_sections(&mut file, &Change { address, start, size, kept: kept.len(), calls_address, next, removed })?;

    let tail = file.get(next..)?;
    let mut result = file.get(..start)?.to_vec();
    result.extend(table);
    result.resize(next - removed, 0);
    result.extend_from_slice(tail);
    Some(result)
}

/// Puts what is added to the load address where it is added, and returns the relocations that are of another kind, and the
/// sorted places of those that were not. Nothing if two of them overlap.
fn take_out(
    file: &mut [u8],
    table: Range<usize>,
    relative: u64,
    place: &dyn Fn(u64, usize) -> Option<usize>,
) -> Option<(Vec<u8>, Vec<u64>)> {
    let (mut kept, mut places) = (Vec::new(), Vec::new());
    for at in table.step_by(RELOCATION) {
        let (address, kind, addend) = (u64_at(file, at)?, u64_at(file, at + 8)?, u64_at(file, at + 16)?);
        match place(address, 8) {
            Some(word) if kind == relative && address % 2 == 0 => {
                places.push(address);
                put(file, word, &addend.to_le_bytes());
            }
            _ => kept.extend_from_slice(file.get(at..at + RELOCATION)?),
        }
    }
    places.sort_unstable();
    places.windows(2).all(|pair| pair[1] - pair[0] >= WORD).then_some((kept, places))
}

/// The packed form of places that are sorted and at least a word apart.
fn encode(places: &[u64]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut places = places.iter().peekable();
    while let Some(place) = places.next() {
        packed.extend(place.to_le_bytes());
        let mut base = place + WORD;
        loop {
            let mut bits = 0;
            // One that is no whole number of words away may be within what the last word stood for.
            while let Some(distance) = places.peek().and_then(|place| place.checked_sub(base))
                && distance < BITS * WORD
                && distance % WORD == 0
            {
                bits |= 1 << (distance / WORD);
                places.next();
            }
            if bits == 0 {
                break;
            }
            packed.extend((bits << 1 | 1_u64).to_le_bytes());
            base += BITS * WORD;
        }
    }
    packed
}

/// What moves where.
struct Change {
    /// Of the table: where it is mapped and where it is in the file, how long it was and how long it is.
    address: u64,
    start: usize,
    size: usize,
    kept: usize,
    /// Of the table behind it: where it is mapped now.
    calls_address: u64,
    /// Where in the file that begins which moves, and by how much.
    next: usize,
    removed: usize,
}

/// Corrects the section table, by which profilers and debuggers find their way. Nothing if a section is where none was expected.
fn correct_sections(file: &mut [u8], change: &Change) -> Option<()> {
    let found: Vec<_> = sections(file)?
        .iter()
        .map(|section| (section.at, section.kind, section.address, section.offset, section.size))
        .collect();
    for (at, kind, address, offset, size) in found {
        if offset >= change.next {
            put_number(file, at + 24, offset - change.removed);
        } else if address == change.address && size > 0 {
            put_number(file, at + 32, change.kept);
        } else if offset == change.start + change.size && size > 0 && kind != SHT_NOBITS {
            put(file, at + 16, &change.calls_address.to_le_bytes());
            put_number(file, at + 24, change.start + usize::try_from(change.calls_address - change.address).ok()?);
        } else if offset > change.start {
            return None;
        }
    }
    let table = usize_at(file, SECTIONS)?;
    if table < change.next {
        return None;
    }
    put_number(file, SECTIONS, table - change.removed);
    Some(())
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        fs,
        process::Command,
    };

    use super::{BITS, RELOCATION, WORD, encode, pack};
    use crate::image::elf::{
        READS_PACKED,
        dynamic::{DT_JMPREL, DT_PLTRELSZ, DT_RELA, DT_RELASZ, DT_RELR, DT_RELRSZ, Dynamic},
        file::{PT_DYNAMIC, PT_LOAD, sections, segments, u64_at},
        strip::strip,
    };

    fn decode(packed: &[u8]) -> Vec<u64> {
        let (mut places, mut base) = (Vec::new(), 0);
        for at in (0..packed.len()).step_by(8) {
            let word = u64_at(packed, at).unwrap();
            if word & 1 == 0 {
                places.push(word);
                base = word + WORD;
            } else {
                places.extend((0..BITS).filter(|bit| word >> (bit + 1) & 1 == 1).map(|bit| base + bit * WORD));
                base += BITS * WORD;
            }
        }
        places
    }

    #[test]
    fn places_come_back_as_they_were() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let mut place = 2 * random.u64(..1000);
            let places: Vec<u64> = (0..random.usize(..300))
                .map(|_| {
                    place += match random.u8(..10) {
                        0 => 2 * random.u64(4..2000),
                        1..3 => 8 * random.u64(1..140),
                        _ => 8,
                    };
                    place
                })
                .collect();
            assert_eq!(decode(&encode(&places)), places);
        }
    }

    /// What a loader maps, and what it does to it.
    #[derive(Eq, PartialEq)]
    struct Loaded {
        mapped: BTreeMap<u64, u8>,
        relocations: BTreeMap<u64, (u64, u64)>,
        calls: Vec<u8>,
    }

    fn loaded(file: &[u8]) -> Loaded {
        let segments = segments(file).unwrap();
        let dynamic = segments.iter().find(|segment| segment.kind == PT_DYNAMIC).unwrap();
        let entries = Dynamic::read(file, dynamic).unwrap();
        let bytes = |address: u64, size: u64| {
            let size = usize::try_from(size).unwrap();
            let loaded = segments.iter().filter(|segment| segment.kind == PT_LOAD);
            let place = loaded.into_iter().find_map(|segment| segment.place(address, size)).unwrap();
            file[place..place + size].to_vec()
        };
        let table = |tag, size| entries.get(tag).map_or_else(Vec::new, |at| bytes(at, entries.get(size).unwrap()));
        let mut relocations = BTreeMap::new();
        let rela = table(DT_RELA, DT_RELASZ);
        for entry in rela.chunks(RELOCATION) {
            let number = |at| u64_at(entry, at).unwrap();
            relocations.insert(number(0), (number(8), number(16)));
        }
        for place in decode(&table(DT_RELR, DT_RELRSZ)) {
            relocations.insert(place, (8, u64_at(&bytes(place, 8), 0).unwrap()));
        }
        let calls = table(DT_JMPREL, DT_PLTRELSZ);
        // What is no relocation's: the first segment's end and the list itself are what changes.
        let mut mapped = BTreeMap::new();
        for segment in segments.iter().filter(|segment| segment.kind == PT_LOAD).skip(1) {
            for (address, byte) in (segment.address..).zip(&file[segment.offset..segment.offset + segment.size]) {
                mapped.insert(address, *byte);
            }
        }
        mapped.retain(|address, _| {
            let in_list = (dynamic.address..dynamic.address + dynamic.size as u64).contains(address);
            let relocated = relocations.range(..=address).next_back().is_some_and(|(place, _)| address - place < WORD);
            !in_list && !relocated
        });
        Loaded { mapped, relocations, calls }
    }

    #[test]
    fn a_packed_library_is_loaded_to_the_same_memory() {
        // Those of an interpreter that has loaded what needs other libraries.
        let script = "import ctypes, decimal, sqlite3, ssl\nprint(open('/proc/self/maps').read())";
        let maps = Command::new(env!("BUILD_PYTHON")).args(["-I", "-c", script]).output().unwrap().stdout;
        let maps = String::from_utf8(maps).unwrap();
        let files: BTreeSet<_> = maps.lines().filter_map(|line| line.split_once('/')).map(|line| line.1).collect();
        assert!(files.iter().any(|name| name.contains("libcrypto")), "{files:?}");
        for name in files.into_iter().filter(|name| name.contains(".so")) {
            let file = fs::read(format!("/{name}")).unwrap();
            let file = strip(&file).unwrap_or(file);
            let Some(smaller) = pack(&file, READS_PACKED) else {
                assert!(!has_many_relocations(&file), "{name}");
                continue;
            };
            assert!(smaller.len() < file.len());
            assert!(loaded(&file) == loaded(&smaller), "{name}");
            assert_eq!(sections(&file).unwrap().len(), sections(&smaller).unwrap().len());
            assert_eq!(pack(&smaller, READS_PACKED), None, "a second time finds nothing");
        }
    }

    /// Whether they take three pages in the long form.
    fn has_many_relocations(file: &[u8]) -> bool {
        let segments = segments(file).unwrap();
        let dynamic = segments.iter().find(|segment| segment.kind == PT_DYNAMIC).unwrap();
        Dynamic::read(file, dynamic).unwrap().get(DT_RELASZ).is_some_and(|size| size > 3 * 4096)
    }

    #[test]
    fn what_is_not_such_a_file_is_left_alone() {
        for file in [&b""[..], b"\x7fELF", b"\x7fELF\x02\x01", &[0x7f, b'E', b'L', b'F', 2, 1, 0, 0, 0, 0]] {
            assert_eq!(pack(file, READS_PACKED), None);
        }
    }
}
