//! The list that the loader reads first: pairs of a tag and its value (generic ABI, "Dynamic Section").

use super::file::{Segment, put, u64_at};

const DT_NULL: u64 = 0;
pub const DT_PLTRELSZ: u64 = 2;
pub const DT_STRTAB: u64 = 5;
pub const DT_RELA: u64 = 7;
pub const DT_RELASZ: u64 = 8;
pub const DT_STRSZ: u64 = 10;
pub const DT_TEXTREL: u64 = 22;
pub const DT_JMPREL: u64 = 23;
pub const DT_RELRSZ: u64 = 35;
pub const DT_RELR: u64 = 36;
pub const DT_RELRENT: u64 = 37;
pub const DT_RELACOUNT: u64 = 0x6fff_fff9;
pub const DT_VERDEF: u64 = 0x6fff_fffc;
pub const DT_VERDEFNUM: u64 = 0x6fff_fffd;
pub const DT_VERNEED: u64 = 0x6fff_fffe;
pub const DT_VERNEEDNUM: u64 = 0x6fff_ffff;

/// The list, with room for more at its end.
pub struct Dynamic {
    offset: usize,
    entries: Vec<(u64, u64)>,
}

impl Dynamic {
    pub fn read(file: &[u8], segment: &Segment) -> Option<Self> {
        let entries = (segment.offset..segment.offset + segment.size).step_by(16);
        let entries = entries.map(|at| Some((u64_at(file, at)?, u64_at(file, at + 8)?))).collect::<Option<_>>()?;
        Some(Self { offset: segment.offset, entries })
    }

    pub fn get(&self, tag: u64) -> Option<u64> {
        self.entries.iter().take_while(|entry| entry.0 != DT_NULL).find(|entry| entry.0 == tag).map(|entry| entry.1)
    }

    pub fn set(&mut self, tag: u64, value: u64) {
        if let Some(entry) = self.entries.iter_mut().take_while(|entry| entry.0 != DT_NULL).find(|entry| entry.0 == tag)
        {
            entry.1 = value;
        }
    }

    /// Adds entries, if there is room for them and for the one that ends the list.
    pub fn add(&mut self, more: &[(u64, u64)]) -> Option<()> {
        let end = self.entries.iter().position(|entry| entry.0 == DT_NULL)?;
        let room = self.entries.get_mut(end..)?;
        if room.len() <= more.len() || room.iter().any(|entry| *entry != (DT_NULL, 0)) {
            return None;
        }
        room[..more.len()].copy_from_slice(more);
        Some(())
    }

    pub fn write(&self, file: &mut [u8]) {
        for (index, (tag, value)) in self.entries.iter().enumerate() {
            put(file, self.offset + index * 16, &tag.to_le_bytes());
            put(file, self.offset + index * 16 + 8, &value.to_le_bytes());
        }
    }
}
