//! What an app says in `start_response`, as it goes out; and what is logged of it.

use std::time::Duration;

use rwsgi::{
    telemetry::access::{Format, Layout, Record},
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

/// Whatever was sent, a request is one line in the access log: printable, and as JSON an object.
pub fn line(bytes: &[u8]) {
    let texts: Vec<_> = bytes.split(|byte| *byte == b'\n').map(String::from_utf8_lossy).collect();
    let text = |at: usize| texts.get(at).map_or("", |text| text.as_ref());
    let Ok(format) = Format::parse(text(0)) else { return };
    for layout in [Layout::json(&format), Layout::Text(format)] {
        let needs = layout.needs();
        let some =
            |count: usize, from: usize| (from..from + count).map(|at| Some(text(at).as_bytes())).collect::<Vec<_>>();
        let variables = vec![Some(bytes); needs.variables.len()];
        let (mut line, mut clock) = (Vec::new(), layout.clock());
        let record = Record {
            time: Duration::from_millis(bytes.len() as u64),
            remote_addr: None,
            method: text(1).as_bytes(),
            target: text(2).as_bytes(),
            query: text(3).as_bytes(),
            version: Version::HTTP_11,
            status: 200,
            sent: bytes.len() as u64,
            duration: Duration::from_micros(bytes.len() as u64),
            request_fields: &some(needs.request_fields.len(), 5),
            response_fields: &some(needs.response_fields.len(), 6),
            variables: &variables,
        };
        let mut packed = Vec::new();
        record.pack(&mut packed);
        let (mut rest, mut fields) = (&packed[..], Vec::new());
        assert_eq!(Record::unpack(&mut rest, needs, &mut fields), Ok(record));
        layout.write(&mut line, &record, &mut clock);
        if matches!(layout, Layout::Json(..)) {
            let object: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
            assert!(object.is_object());
        }
        // What a format has between its parts is the operator's, and may be anything.
        if !text(0).bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            assert!(text.iter().all(|byte| *byte >= b' ' && *byte != 0x7f), "{:?}", String::from_utf8_lossy(&line));
        }
    }
}
