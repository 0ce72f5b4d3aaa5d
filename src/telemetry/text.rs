//! Text that comes from elsewhere, made fit for a line of a log: nothing in it ends the line or its quotes, or does
//! anything to a terminal.

use std::io::Write as _;

/// Appends a value of an access log's line: `"` as gunicorn writes it, a backslash doubled so that it cannot take the
/// closing quote with it, and every byte of what is not a printable character of UTF-8 as `\xNN`.
pub fn value(line: &mut Vec<u8>, bytes: &[u8]) {
    // As a rule there is nothing odd.
    if is_plain(bytes) {
        line.extend_from_slice(bytes);
        return;
    }
    let number = |line: &mut Vec<u8>, byte: &u8| drop(write!(line, "\\x{byte:02x}"));
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let (bytes, mut place) = (&mut *line, [0; 4]);
            match c {
                '"' | '\\' => bytes.extend_from_slice(&[b'\\', c as u8]),
                c if ends_line(c) => c.encode_utf8(&mut place).as_bytes().iter().for_each(|byte| number(bytes, byte)),
                c => bytes.extend_from_slice(c.encode_utf8(&mut place).as_bytes()),
            }
        }
        chunk.invalid().iter().for_each(|byte| number(line, byte));
    }
}

/// Whether a character does something to a terminal, or may be taken for the end of a line: some readers take the
/// separators of Unicode for one.
fn ends_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether every byte can stand in a value as it is. Looks at eight at once.
fn is_plain(bytes: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let plain = |word: u64| {
        // Some high bit is set if some byte is below `low`, and only then.
        let below = |word: u64, low: u8| word.wrapping_sub(ONES * u64::from(low)) & !word;
        let has = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        (below(word, b' ') | has(b'"') | has(b'\\') | has(0x7f) | word) & (ONES << 7) == 0
    };
    match bytes.last_chunk() {
        Some(end) => bytes.as_chunks().0.iter().chain([end]).all(|word| plain(u64::from_le_bytes(*word))),
        None => plain(short(bytes) | (ONES * u64::from(b' ')) << (8 * bytes.len())),
    }
}

/// Fewer than eight bytes as a number, the first in its lowest bits.
fn short(bytes: &[u8]) -> u64 {
    let four = |four: &[u8; 4]| u64::from(u32::from_le_bytes(*four));
    match (bytes.first_chunk(), bytes.last_chunk()) {
        // Those in the middle are in both.
        (Some(start), Some(end)) => four(start) | four(end) << (8 * (bytes.len() - 4)),
        _ => bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)),
    }
}

/// Appends a message of the error log. It may have lines of its own, a traceback say; none of them begins as a line of
/// the log does, so that none can be taken for one.
pub fn message(line: &mut Vec<u8>, text: &str) {
    let mut previous = ' ';
    for c in text.chars() {
        match c {
            '\n' => line.push(b'\n'),
            '[' if previous == '\n' => line.extend_from_slice(b" ["),
            c if c.is_control() => drop(write!(line, "\\x{:02x}", u32::from(c))),
            c => drop(write!(line, "{c}")),
        }
        previous = c;
    }
}

/// Appends a JSON string. What is not UTF-8 is written as `\xNN`, as in the text format.
pub fn json(line: &mut Vec<u8>, bytes: &[u8]) {
    line.push(b'"');
    if is_plain(bytes) {
        line.extend_from_slice(bytes);
        line.push(b'"');
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => line.extend_from_slice(b"\\\""),
                '\\' => line.extend_from_slice(b"\\\\"),
                '\n' => line.extend_from_slice(b"\\n"),
                c if ends_line(c) => drop(write!(line, "\\u{:04x}", u32::from(c))),
                c => line.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for byte in chunk.invalid() {
            drop(write!(line, "\\\\x{byte:02x}"));
        }
    }
    line.push(b'"');
}

/// The same for what is text already.
pub fn json_text(line: &mut Vec<u8>, text: &str) {
    json(line, text.as_bytes());
}

#[cfg(test)]
mod tests {
    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut line = Vec::new();
        write(&mut line);
        String::from_utf8(line).expect("what is written is text")
    }

    #[test]
    fn a_value_keeps_to_its_line_and_its_quotes() {
        let hostile = b"a\"b\r\n\x1b[31m\xff\\\x7f\t\x00\xc3\xa9\xc2\x9b\xe2\x80\xa8";
        let line = written(|line| super::value(line, hostile));
        assert_eq!(line, "a\\\"b\\x0d\\x0a\\x1b[31m\\xff\\\\\\x7f\\x09\\x00é\\xc2\\x9b\\xe2\\x80\\xa8");
        assert_eq!(written(|line| super::value(line, b"plain")), "plain");
    }

    #[test]
    fn every_byte_is_seen_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for (before, after) in (0..20).flat_map(|before| [0, 1, 8, 9].map(|after| (before, after))) {
                let bytes = [vec![b'a'; before], vec![byte], vec![b' '; after]].concat();
                let is_odd = !matches!(byte, 0x20..=0x7e) || matches!(byte, b'"' | b'\\');
                assert_eq!(super::is_plain(&bytes), !is_odd, "{byte:x} behind {before}");
            }
        }
    }

    #[test]
    fn a_message_keeps_its_lines_but_none_looks_like_the_logs_own() {
        let text = "[first]\n  File \"x\"\n[2026-11-23 00:00:00 +0000] [1] [INFO] forged\r\u{1b}[0m\u{9b}é";
        assert_eq!(
            written(|line| super::message(line, text)),
            "[first]\n  File \"x\"\n [2026-11-23 00:00:00 +0000] [1] [INFO] forged\\x0d\\x1b[0m\\x9bé"
        );
    }

    #[test]
    fn a_json_string_is_read_back_as_it_was() {
        let text = "a\"b\\\r\n\t\u{1b}[0m\u{2028}\u{85}é😀";
        let line = written(|line| super::json(line, text.as_bytes()));
        assert!(!line.chars().any(|c| c.is_control() || c == '\u{2028}'), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).expect("it is JSON"), text);
        let bytes = written(|line| super::json(line, b"\xffa\xc3"));
        assert_eq!(serde_json::from_str::<String>(&bytes).expect("it is JSON"), "\\xffa\\xc3");
    }
}
