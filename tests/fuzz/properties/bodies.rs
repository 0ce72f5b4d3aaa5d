//! Bodies of requests: in chunks on the wire, and read by an app.

use std::collections::VecDeque;

use bytes::Bytes;
use rwsgi::{
    settings::RequestRules,
    wire::Chunks,
    wsgi::{BodyError, BodyReader, Input},
};

use super::{choice, cut};

/// What a decoder without any finesse makes of a whole body: its content, and how long its chunks are. None where it is
/// malformed or does not end.
fn decode(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut data, mut at) = (Vec::new(), 0);
    let line = |at: &mut usize| {
        let end = bytes[*at..].windows(2).position(|two| two == b"\r\n")?;
        let line = &bytes[*at..*at + end];
        *at += end + 2;
        Some(line)
    };
    loop {
        let first = line(&mut at)?;
        let digits = first.split(|byte| *byte == b';').next()?;
        let digits = if digits.len() < first.len() { digits.trim_ascii_end() } else { digits };
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        data.extend_from_slice(bytes.get(at..at.checked_add(size)?)?);
        at += size;
        if !line(&mut at)?.is_empty() {
            return None;
        }
    }
    while !line(&mut at)?.is_empty() {}
    Some((data, at))
}

/// Chunks are read alike in whatever pieces they come; and what they hold is the same to any decoder.
pub fn chunks(mut bytes: &[u8]) {
    let seed = choice(&mut bytes);
    let rules = RequestRules { limit_field_size: 200, ..RequestRules::default() };
    let mut ends = Vec::new();
    for pieces in [vec![bytes], cut(bytes, seed.into()), bytes.chunks(1).collect()] {
        let (mut chunks, mut waiting, mut body, mut read) = (Chunks::default(), Vec::new(), Vec::new(), 0);
        let mut is_fine = true;
        for piece in pieces {
            waiting.extend_from_slice(piece);
            while is_fine && !waiting.is_empty() && !chunks.is_done() {
                match chunks.next(&waiting, &rules) {
                    Ok((0, 0)) => break,
                    Ok((skipped, data)) => {
                        read += skipped + data;
                        waiting.drain(..skipped);
                        body.extend(waiting.drain(..data));
                    }
                    Err(_) => is_fine = false,
                }
            }
        }
        if chunks.is_done() {
            assert_eq!(decode(&bytes[..read]).expect("what is done can be decoded"), (body.clone(), read));
        }
        assert!(read <= bytes.len());
        ends.push((is_fine, chunks.is_done(), body));
    }
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
}

struct Pieces(VecDeque<Bytes>);

impl BodyReader for Pieces {
    fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        Ok(self.0.pop_front())
    }

    fn is_ready(&self) -> bool {
        true
    }
}

/// An app gets every byte once, in its order, however it reads; and lines end where they should.
pub fn input(mut bytes: &[u8]) {
    let seed = choice(&mut bytes);
    let count = usize::from(choice(&mut bytes) % 16);
    let (ways, body) = bytes.split_at(count.min(bytes.len()));
    let pieces = cut(body, seed.into()).into_iter().map(Bytes::copy_from_slice).collect();
    let mut input = Input::new(Box::new(Pieces(pieces)));
    let mut rest = body;
    for way in ways {
        let limit = (way & 0x40 != 0).then_some(usize::from(way & 0x3f));
        let most = limit.unwrap_or(rest.len()).min(rest.len());
        let (read, expected) = if way & 0x80 == 0 {
            let line = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |newline| newline + 1);
            (input.read_line(limit), line.min(most))
        } else {
            (input.read(limit), most)
        };
        assert_eq!(read.expect("the body is whole").concat(), rest[..expected]);
        rest = &rest[expected..];
    }
    assert_eq!(input.read(None).expect("the body is whole").concat(), rest);
    assert_eq!(input.read(None).expect("the body is whole").concat(), b"");
}
