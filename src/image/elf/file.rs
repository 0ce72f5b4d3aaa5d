//! Reading and changing an ELF file's headers ("ELF-64 Object File Format"). Whatever points outside of the file is nothing.

pub const HEADER: usize = 64;
pub const SECTION_HEADER: usize = 64;
pub const PROGRAM_HEADER: usize = 56;

pub const PT_LOAD: u32 = 1;
pub const PT_DYNAMIC: u32 = 2;
pub const SHT_NOBITS: u32 = 8;
pub const SHF_ALLOC: u64 = 2;

/// Where things are in the file's own header.
pub const SECTIONS: usize = 0x28;
pub const SECTION_COUNT: usize = 0x3c;
pub const SECTION_NAMES: usize = 0x3e;
const MACHINE: usize = 0x12;
const PROGRAM_HEADERS: usize = 0x20;
const PROGRAM_HEADER_SIZE: usize = 0x36;
const PROGRAM_HEADER_COUNT: usize = 0x38;
const SECTION_HEADER_SIZE: usize = 0x3a;

/// A section, as its table has it.
pub struct Section<'a> {
    pub header: &'a [u8],
    /// Where that is in the file.
    pub at: usize,
    pub kind: u32,
    pub flags: u64,
    pub address: u64,
    pub offset: usize,
    pub size: usize,
    pub link: usize,
}

/// What the kernel or the loader maps, or finds in what is mapped.
pub struct Segment {
    /// Where its header is in the file.
    pub at: usize,
    pub kind: u32,
    pub offset: usize,
    pub address: u64,
    /// How much of it is in the file.
    pub size: usize,
    pub alignment: usize,
}

impl Segment {
    /// Where in the file the `length` bytes are that are mapped at `address`.
    pub fn place(&self, address: u64, length: usize) -> Option<usize> {
        let within = usize::try_from(address.checked_sub(self.address)?).ok()?;
        (within.checked_add(length)? <= self.size).then_some(self.offset.checked_add(within)?)
    }
}

/// Whether this is a form that is known here.
pub fn is_known(file: &[u8]) -> bool {
    file.starts_with(b"\x7fELF\x02\x01")
}

/// The processor's number.
pub fn machine(file: &[u8]) -> Option<u16> {
    u16_at(file, MACHINE)
}

pub fn sections(file: &[u8]) -> Option<Vec<Section<'_>>> {
    let offset = usize_at(file, SECTIONS)?;
    if offset == 0 || usize::from(u16_at(file, SECTION_HEADER_SIZE)?) != SECTION_HEADER {
        return None;
    }
    (0..usize::from(u16_at(file, SECTION_COUNT)?))
        .map(|index| {
            let at = offset.checked_add(index * SECTION_HEADER)?;
            let header = file.get(at..at.checked_add(SECTION_HEADER)?)?;
            Some(Section {
                header,
                at,
                kind: u32_at(header, 4)?,
                flags: u64_at(header, 8)?,
                address: u64_at(header, 16)?,
                offset: usize_at(header, 24)?,
                size: usize_at(header, 32)?,
                link: usize::try_from(u32_at(header, 40)?).ok()?,
            })
        })
        .collect()
}

pub fn segments(file: &[u8]) -> Option<Vec<Segment>> {
    let offset = usize_at(file, PROGRAM_HEADERS)?;
    if usize::from(u16_at(file, PROGRAM_HEADER_SIZE)?) != PROGRAM_HEADER {
        return None;
    }
    (0..usize::from(u16_at(file, PROGRAM_HEADER_COUNT)?))
        .map(|index| {
            let at = offset.checked_add(index * PROGRAM_HEADER)?;
            let header = file.get(at..at.checked_add(PROGRAM_HEADER)?)?;
            let (offset, size) = (usize_at(header, 8)?, usize_at(header, 32)?);
            (offset.checked_add(size)? <= file.len()).then_some(Segment {
                at,
                kind: u32_at(header, 0)?,
                offset,
                address: u64_at(header, 16)?,
                size,
                alignment: usize_at(header, 48)?,
            })
        })
        .collect()
}

/// Writes `value` over what is at `offset`, which was read before.
pub fn put(file: &mut [u8], offset: usize, value: &[u8]) {
    file[offset..offset + value.len()].copy_from_slice(value);
}

/// The same for a number of eight bytes.
pub fn put_number(file: &mut [u8], offset: usize, value: usize) {
    put(file, offset, &(value as u64).to_le_bytes());
}

pub fn u16_at(file: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(file.get(offset..offset.checked_add(2)?)?.try_into().ok()?))
}

pub fn u32_at(file: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(file.get(offset..offset.checked_add(4)?)?.try_into().ok()?))
}

pub fn u64_at(file: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(file.get(offset..offset.checked_add(8)?)?.try_into().ok()?))
}

pub fn usize_at(file: &[u8], offset: usize) -> Option<usize> {
    usize::try_from(u64_at(file, offset)?).ok()
}
