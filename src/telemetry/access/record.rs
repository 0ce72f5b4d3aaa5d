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
    /// The part of it behind the question mark, where it is needed.
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

/// What is packed in front of the texts: three numbers of eight bytes, seven of four, and the status and the version.
const HEAD: usize = 3 * 8 + 7 * 4 + 2 + 2;

impl<'a> Record<'a> {
    /// Appends it.
    pub fn pack(&self, packed: &mut Vec<u8>) {
        let (major, minor) = self.version.numbers();
        let mut head = [0; HEAD];
        let mut rest = &mut head[..];
        rest.put_u64_ne(self.time.as_secs());
        rest.put_u64_ne(self.duration.as_secs());
        rest.put_u64_ne(self.sent);
        rest.put_u32_ne(self.time.subsec_nanos());
        rest.put_u32_ne(self.duration.subsec_nanos());
        rest.put_u32_ne(length(self.remote_addr));
        rest.put_u32_ne(length(Some(self.method)));
        rest.put_u32_ne(length(Some(self.target)));
        rest.put_u32_ne(length(Some(self.query)));
        rest.put_u32_ne(u32::try_from(self.variables.len()).unwrap_or(0));
        rest.put_u16_ne(self.status);
        rest.put_slice(&[major, minor]);
        packed.extend_from_slice(&head);
        packed.extend_from_slice(self.remote_addr.unwrap_or_default());
        packed.extend_from_slice(self.method);
        packed.extend_from_slice(self.target);
        if !self.query.is_empty() {
            packed.extend_from_slice(self.query);
        }
        pack_fields(packed, self.request_fields);
        pack_fields(packed, self.response_fields);
        pack_fields(packed, self.variables);
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
        let mut head = bytes(packed, HEAD)?;
        let (time, duration, sent) = (head.get_u64_ne(), head.get_u64_ne(), head.get_u64_ne());
        let (time_nanos, duration_nanos) = (head.get_u32_ne(), head.get_u32_ne());
        let mut text = || take(packed, head.get_u32_ne());
        let [remote_addr, method, target, query] = [text()?, text()?, text()?, text()?];
        let variables = head.get_u32_ne() as usize;
        let status = head.get_u16_ne();
        let version = Version::of_numbers(head.get_u8(), head.get_u8());
        fields.clear();
        for _ in 0..needs.request_fields.len() + needs.response_fields.len() + variables {
            let length = packed.try_get_u32_ne()?;
            fields.push(take(packed, length)?);
        }
        let (request_fields, others) = fields.split_at(needs.request_fields.len());
        let (response_fields, variables) = others.split_at(needs.response_fields.len());
        let [method, target, query] = [method, target, query].map(Option::unwrap_or_default);
        Ok(Self {
            time: Duration::new(time, time_nanos),
            remote_addr,
            method,
            target,
            query,
            version,
            status,
            sent,
            duration: Duration::new(duration, duration_nanos),
            request_fields,
            response_fields,
            variables,
        })
    }
}

fn pack_fields(packed: &mut Vec<u8>, fields: &[Option<&[u8]>]) {
    for field in fields {
        packed.extend_from_slice(&length(*field).to_ne_bytes());
        if let Some(field) = field {
            packed.extend_from_slice(field);
        }
    }
}

/// No text is so long that it has none: a head has a limit.
fn length(text: Option<&[u8]>) -> u32 {
    text.and_then(|text| u32::try_from(text.len()).ok()).unwrap_or(MISSING)
}

/// A text of this length.
fn take<'a>(packed: &mut &'a [u8], length: u32) -> Result<Option<&'a [u8]>, TryGetError> {
    if length == MISSING { Ok(None) } else { bytes(packed, length as usize).map(Some) }
}

fn bytes<'a>(packed: &mut &'a [u8], requested: usize) -> Result<&'a [u8], TryGetError> {
    let available = packed.len();
    packed.split_off(..requested).ok_or(TryGetError { requested, available })
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
