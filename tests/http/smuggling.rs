//! Attempts to smuggle a second request in: what is refused must end the connection, with what is behind it unread.

use serde_json::Value;

use super::{
    Outcome, Witness,
    attempts::{BODIES, ENDS, FIELDS, FRAMINGS, LINES, SMUGGLED, STREAMS},
};
use crate::support::client::WAYS;

/// What becomes of some bytes.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// The answer has this status, and nothing reaches the app.
    Refused(u16),
    /// The connection is closed.
    Unanswered,
    /// The app is called with these, each as [`shown`] writes it, and answers them all.
    Seen(&'static [&'static str]),
}

/// Every attempt, with what is behind it.
pub fn attempts() -> Vec<(Vec<u8>, Fate)> {
    let framings = FRAMINGS.iter().map(|(fields, body, fate)| {
        let end: &[u8] = if fields.is_empty() { b"\r\n" } else { b"\r\n\r\n" };
        ([b"POST / HTTP/1.1\r\nHost: a\r\n", *fields, end, *body, SMUGGLED].concat(), *fate)
    });
    let bodies = BODIES.iter().map(|(body, fate)| {
        ([b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", *body, SMUGGLED].concat(), *fate)
    });
    let lines = LINES.iter().map(|(line, fate)| ([*line, b"\r\nHost: a\r\n\r\n", SMUGGLED].concat(), *fate));
    let fields =
        FIELDS.iter().map(|(fields, fate)| ([b"GET / HTTP/1.1\r\n", *fields, b"\r\n\r\n", SMUGGLED].concat(), *fate));
    let streams = STREAMS.iter().map(|(bytes, fate)| ([*bytes, SMUGGLED].concat(), *fate));
    let ends = ENDS.iter().map(|(bytes, fate)| (bytes.to_vec(), *fate));
    framings.chain(bodies).chain(lines).chain(fields).chain(streams).chain(ends).collect()
}

/// A call in one line: its method and target, its fields without Host, and its body.
pub fn shown(call: &Value) -> String {
    let call = call.as_object().expect("an environ");
    let text = |key: &str| call.get(key).and_then(Value::as_str).unwrap_or("unreadable").to_owned();
    let mut parts = vec![text("REQUEST_METHOD"), text("RAW_URI")];
    let fields = call.keys().filter(|key| key.starts_with("HTTP_") || key.starts_with("CONTENT_"));
    parts.extend(fields.filter(|key| *key != "HTTP_HOST").map(|key| format!("{key}={}", text(key))));
    parts.push(text("body"));
    parts.join(" ").trim_end().to_owned()
}

/// Whether this is what must become of them.
fn fulfils(outcome: &Outcome, fate: Fate) -> bool {
    let calls: Vec<_> = outcome.calls.iter().map(shown).collect();
    match fate {
        Fate::Refused(status) => outcome.statuses == [status] && calls.is_empty(),
        Fate::Unanswered => outcome.statuses.is_empty() && calls.is_empty(),
        Fate::Seen(expected) => outcome.statuses == vec![200; expected.len()] && calls == expected,
    }
}

#[test]
fn nothing_is_smuggled_past_a_refusal() {
    let witness = Witness::rwsgi([]);
    let mut faults = Vec::new();
    for (bytes, fate) in attempts() {
        for way in WAYS {
            let outcome = witness.show(&bytes, way);
            if !fulfils(&outcome, fate) {
                let calls: Vec<_> = outcome.calls.iter().map(shown).collect();
                let text = String::from_utf8_lossy(&bytes);
                faults.push(format!("{text:?} {way:?}: {:?} {calls:?}, not {fate:?}", outcome.statuses));
            }
        }
    }
    eprintln!("{} attempts in {} ways", attempts().len(), WAYS.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_follows_a_refusal_in_a_pipeline_is_not_read() {
    let witness = Witness::rwsgi([]);
    let first = b"POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for (bytes, fate) in attempts() {
        let Fate::Refused(status) = fate else { continue };
        for way in WAYS {
            let outcome = witness.show(&[first, bytes.as_slice()].concat(), way);
            let calls: Vec<_> = outcome.calls.iter().map(shown).collect();
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(outcome.statuses, [200, status], "{text:?} {way:?}");
            assert_eq!(calls, ["POST /first HTTP_TRANSFER_ENCODING=chunked abc"], "{text:?} {way:?}");
        }
    }
}

#[test]
fn extensions_of_chunks_are_read_and_bounded() {
    let witness = Witness::rwsgi([]);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (count, status) in [(1489, 200), (1490, 400)] {
        let chunks = "1;a=34567890\r\n.\r\n".repeat(count);
        for way in WAYS {
            let outcome = witness.show(format!("{head}{chunks}0\r\n\r\n").as_bytes(), way);
            let bodies: Vec<_> = outcome.calls.iter().map(|call| call["body"].as_str().map(str::len)).collect();
            let expected = if status == 200 { vec![Some(count)] } else { Vec::new() };
            assert_eq!((outcome.statuses, bodies), (vec![status], expected), "{count} chunks, {way:?}");
        }
    }
}
