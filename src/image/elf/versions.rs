//! Adds to the versions that a file needs of another (Linux Standard Base, "Symbol Versioning").

use super::dynamic::{DT_STRTAB, DT_VERDEF, DT_VERDEFNUM, DT_VERNEED, DT_VERNEEDNUM, Dynamic};
use super::file::{put, u16_at, u32_at};

/// How long the entry for one version is that is needed.
pub const NEED: usize = 16;
/// Where in it is where the next one is, counted from here.
const NEXT: usize = 12;

/// The bit above says that the linker does not see a version.
const NUMBER: u16 = 0x7fff;

/// A version, and the library that has it.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a> {
    pub library: &'a str,
    pub name: &'a str,
}

/// Where the new entry is mapped, and where its name is among the file's strings.
pub struct New {
    pub address: u64,
    pub name: u32,
}

/// Hangs one more entry behind those that `file` has for the library, and returns it. Nothing if it has none.
pub fn need(
    file: &mut [u8],
    dynamic: &Dynamic,
    place: &dyn Fn(u64, usize) -> Option<usize>,
    version: Version,
    new: &New,
) -> Option<[u8; NEED]> {
    let strings = dynamic.get(DT_STRTAB)?;
    let mut last = None;
    let mut highest = highest_defined(file, dynamic, place)?;
    let mut of_library = dynamic.get(DT_VERNEED)?;
    for _ in 0..dynamic.get(DT_VERNEEDNUM)? {
        let library = place(of_library, NEED)?;
        let name = place(strings.checked_add(u64::from(u32_at(file, library + 4)?))?, version.library.len() + 1)?;
        let rest = file.get(name..)?.strip_prefix(version.library.as_bytes());
        let is_it = rest.is_some_and(|rest| rest.first() == Some(&0));
        let mut entry = of_library.checked_add(u64::from(u32_at(file, library + 8)?))?;
        for number in 1..=u16_at(file, library + 2)? {
            let at = place(entry, NEED)?;
            highest = highest.max(u16_at(file, at + 6)? & NUMBER);
            if is_it && number == u16_at(file, library + 2)? {
                last = Some((library, entry));
            }
            entry = entry.checked_add(u64::from(u32_at(file, at + NEXT)?))?;
        }
        of_library = of_library.checked_add(u64::from(u32_at(file, library + NEXT)?))?;
    }
    let (library, last) = last?;
    let distance = u32::try_from(new.address.checked_sub(last)?).ok()?;
    let (count, at) = (u16_at(file, library + 2)?, place(last, NEED)?);
    put(file, library + 2, &count.checked_add(1)?.to_le_bytes());
    put(file, at + NEXT, &distance.to_le_bytes());
    let mut entry = [0; NEED];
    put(&mut entry, 0, &hash(version.name).to_le_bytes());
    put(&mut entry, 6, &highest.checked_add(1)?.to_le_bytes());
    put(&mut entry, 8, &new.name.to_le_bytes());
    Some(entry)
}

/// The highest number of the versions that the file itself defines, of which needed ones must differ.
fn highest_defined(file: &[u8], dynamic: &Dynamic, place: &dyn Fn(u64, usize) -> Option<usize>) -> Option<u16> {
    let mut highest = 1;
    let Some(mut entry) = dynamic.get(DT_VERDEF) else { return Some(highest) };
    for _ in 0..dynamic.get(DT_VERDEFNUM)? {
        let at = place(entry, 20)?;
        highest = highest.max(u16_at(file, at + 4)? & NUMBER);
        entry = entry.checked_add(u64::from(u32_at(file, at + 16)?))?;
    }
    Some(highest)
}

/// A name's number by which it is compared (generic ABI, "Hash Table").
fn hash(name: &str) -> u32 {
    name.bytes().fold(0_u32, |hash, byte| {
        let hash = (hash << 4).wrapping_add(u32::from(byte));
        let high = hash & 0xf000_0000;
        (hash ^ (high >> 24)) & !high
    })
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn names_have_the_numbers_that_the_loader_computes() {
        for (name, number) in
            [("GLIBC_2.2.5", 0x0969_1a75), ("GLIBC_2.4", 0x0d69_6914), ("GLIBC_ABI_DT_RELR", 0x00fd_0e42)]
        {
            assert_eq!(hash(name), number, "{name}");
        }
    }
}
