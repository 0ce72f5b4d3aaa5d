//! What is known of a request, and its way to the thread that writes lines: packed, since to copy a few bytes holds a
//! request up for less time than to make a line of them, and many lines at once take less time than each by itself.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, TryGetError};

use super::format::Needs;
use crate::wire::Version;

/// What is known of a request and its answer. Texts are as they came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Record<'a> {
    /// When its answer ended, since 1970.
    pub time: Duration,
    /// The client's address; none on a unix socket.
    pub remote_addr: Option<&'a [u8]>,
    /// The request's method.
    pub method: &'a [u8],
    /// The request's target as it came.
    pub target: &'a [u8],
    /// The part of it behind the question mark.
    pub query: &'a [u8],
    /// The version that the request was made in.
    pub version: Version,
    /// The answer's status.
    pub status: u16,
    /// Bytes of the answer's body.
    pub sent: u64,
    /// From the request's head to the end of its answer.
    pub duration: Duration,
    /// The fields of the request that are needed, in the order of [`Needs`].
    pub request_fields: &'a [Option<&'a [u8]>],
    /// The fields of the answer that are needed.
    pub response_fields: &'a [Option<&'a [u8]>],
    /// The variables that are needed: `REMOTE_ADDR` only where the app has replaced it. None at all where none was left.
    pub variables: &'a [Option<&'a [u8]>],
}

/// The length of a text that is not there.
const MISSING: u32 = u32::MAX;

impl<'a> Record<'a> {
    /// Appends it.
    pub fn pack(&self, packed: &mut Vec<u8>) {
        let (major, minor) = self.version.numbers();
        packed.put_u64_ne(nanoseconds(self.time));
        packed.put_u64_ne(nanoseconds(self.duration));
        packed.put_u64_ne(self.sent);
        packed.put_u16_ne(self.status);
        packed.put_slice(&[major, minor]);
        packed.put_u32_ne(length(self.variables.len()));
        for text in [self.remote_addr, Some(self.method), Some(self.target), Some(self.query)] {
            put(packed, text);
        }
        for fields in [self.request_fields, self.response_fields, self.variables] {
            for field in fields {
                put(packed, *field);
            }
        }
    }

    /// Takes the first one from those that were packed for `needs`, and puts its fields into `fields`.
    ///
    /// # Errors
    /// There is no whole one.
    pub fn unpack<'b: 'a>(
        packed: &mut &'b [u8],
        needs: &Needs,
        fields: &'a mut Vec<Option<&'b [u8]>>,
    ) -> Result<Self, TryGetError> {
        let time = Duration::from_nanos(packed.try_get_u64_ne()?);
        let duration = Duration::from_nanos(packed.try_get_u64_ne()?);
        let sent = packed.try_get_u64_ne()?;
        let status = packed.try_get_u16_ne()?;
        let version = Version::of_numbers(packed.try_get_u8()?, packed.try_get_u8()?);
        let variables = packed.try_get_u32_ne()? as usize;
        let [remote_addr, method, target, query] = [take(packed)?, take(packed)?, take(packed)?, take(packed)?];
        fields.clear();
        for _ in 0..needs.request_fields.len() + needs.response_fields.len() + variables {
            fields.push(take(packed)?);
        }
        let (request_fields, others) = fields.split_at(needs.request_fields.len());
        let (response_fields, variables) = others.split_at(needs.response_fields.len());
        let [method, target, query] = [method, target, query].map(Option::unwrap_or_default);
        Ok(Self {
            time,
            remote_addr,
            method,
            target,
            query,
            version,
            status,
            sent,
            duration,
            request_fields,
            response_fields,
            variables,
        })
    }
}

/// As nanoseconds, which have room until the year 2554.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// No text is so long: a head has a limit.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(MISSING)
}

fn put(packed: &mut Vec<u8>, text: Option<&[u8]>) {
    packed.put_u32_ne(text.map_or(MISSING, |text| length(text.len())));
    packed.put_slice(text.unwrap_or_default());
}

/// A text, or none where it was missing.
fn take<'a>(packed: &mut &'a [u8]) -> Result<Option<&'a [u8]>, TryGetError> {
    let length = packed.try_get_u32_ne()?;
    if length == MISSING {
        return Ok(None);
    }
    let (requested, available) = (length as usize, packed.len());
    packed.split_off(..requested).map(Some).ok_or(TryGetError { requested, available })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Needs, Record};
    use crate::{telemetry::access::Format, wire::Version};

    fn needs() -> Needs {
        Format::parse("%({a}i)s %({b}i)s %({c}o)s %({D}e)s").expect("a valid format").needs
    }

    #[test]
    fn what_is_packed_comes_out_as_it_was() {
        let (needs, mut packed, mut fields) = (needs(), Vec::new(), Vec::new());
        let records = [
            Record {
                time: Duration::new(1_795_473_083, 45_600_000),
                remote_addr: Some(b"192.0.2.1"),
                method: b"GET",
                target: b"/a?b=c",
                query: b"b=c",
                version: Version::HTTP_2,
                status: 404,
                sent: u64::MAX,
                duration: Duration::from_nanos(1),
                request_fields: &[Some(b"one"), None],
                response_fields: &[Some(b"")],
                variables: &[None, Some(b"\xff\n")],
            },
            Record {
                time: Duration::ZERO,
                remote_addr: None,
                method: b"",
                target: b"",
                query: b"",
                version: Version::HTTP_10,
                status: 0,
                sent: 0,
                duration: Duration::ZERO,
                request_fields: &[None, Some(b"two")],
                response_fields: &[None],
                variables: &[],
            },
        ];
        for record in &records {
            record.pack(&mut packed);
        }
        let mut rest = &packed[..];
        for record in records {
            assert_eq!(Record::unpack(&mut rest, &needs, &mut fields), Ok(record));
        }
        assert!(Record::unpack(&mut rest, &needs, &mut fields).is_err());
        for end in 0..packed.len() {
            let mut rest = &packed[..end];
            let mut whole = 0;
            while Record::unpack(&mut rest, &needs, &mut Vec::new()).is_ok() {
                whole += 1;
            }
            assert!(whole < 2, "{end}");
        }
    }
}
