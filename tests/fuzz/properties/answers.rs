//! What an app says in `start_response`, as it goes out.

use rwsgi::{
    wire::{Connection, Version, write_head},
    wsgi::Head,
};

/// Whatever an app says, the head has as many lines as it should, and ends where it should.
pub fn answer(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'|');
    let status = lines.next().unwrap_or_default();
    let fields: Vec<_> = lines
        .map(|line| {
            let colon = line.iter().position(|byte| *byte == b'=').unwrap_or(line.len());
            (&line[..colon], line.get(colon + 1..).unwrap_or_default())
        })
        .collect();
    let Ok(head) = Head::new(status, fields.iter().copied()) else { return };
    let mut text = Vec::new();
    let (code, length) = (head.status.as_u16(), head.content_length);
    write_head(&mut text, Version::HTTP_11, code, &head.reason, Connection::Close, length, false, &head.fields);
    let own = 4 + usize::from(length.is_some());
    assert_eq!(text.windows(4).position(|four| four == b"\r\n\r\n"), Some(text.len() - 4));
    for end in [b'\r', b'\n'] {
        let lines = text.split(|byte| *byte == end).count();
        assert_eq!(lines, own + head.fields.len() + 2);
    }
    assert!(!text.contains(&0) && head.fields.len() <= fields.len());
}
