//! Text as the editors of all systems write it.

/// A file's text: UTF-8, unless it begins as UTF-16 does (PowerShell writes that, and pip reads it). What is neither is
/// replaced.
pub fn decode(bytes: &[u8]) -> String {
    let words = |bytes: &[u8], word: fn([u8; 2]) -> u16| {
        String::from_utf16_lossy(&bytes.as_chunks().0.iter().map(|pair| word(*pair)).collect::<Vec<_>>())
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => words(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => words(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        bytes => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn text_is_read_as_its_beginning_says() {
        let little: Vec<u8> = [0xfeff].into_iter().chain("é=1\n".encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = [0xfeff].into_iter().chain("é=1\n".encode_utf16()).flat_map(u16::to_be_bytes).collect();
        for bytes in [&little[..], &big, "\u{feff}é=1\n".as_bytes(), "é=1\n".as_bytes()] {
            assert_eq!(decode(bytes), "é=1\n");
        }
        assert_eq!(decode(b"caf\xe9"), "caf\u{fffd}");
    }
}
