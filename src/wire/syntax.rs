//! Which bytes may stand where (RFC 9110 section 5, RFC 9112 section 3).

const TOKEN: u8 = 1;
const TARGET: u8 = 2;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let specials = b"!#$%&'*+-.^_`|~";
    let mut c = 0_u8;
    loop {
        let mut class = 0;
        let mut special = 0;
        while special < specials.len() {
            if specials[special] == c {
                class |= TOKEN;
            }
            special += 1;
        }
        if c.is_ascii_alphanumeric() {
            class |= TOKEN;
        }
        if c > b' ' && c < 0x7f {
            class |= TARGET;
        }
        classes[c as usize] = class;
        if c == u8::MAX {
            return classes;
        }
        c += 1;
    }
}

fn all(bytes: &[u8], class: u8) -> bool {
    bytes.iter().all(|byte| CLASSES[usize::from(*byte)] & class != 0)
}

/// Whether `is_odd` holds for none, without a branch for each: then many are looked at at once.
fn none(bytes: &[u8], is_odd: impl Fn(u8) -> bool) -> bool {
    !bytes.iter().fold(false, |odd, byte| odd | is_odd(*byte))
}

/// Whether it is a token (RFC 9110 section 5.6.2).
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, TOKEN)
}

/// Whether it is the value of a field: visible characters, bytes from 0x80, spaces and tabs (RFC 9110 section 5.5).
pub fn is_value(bytes: &[u8]) -> bool {
    none(bytes, |byte| (byte < b' ' && byte != b'\t') || byte == 0x7f)
}

/// Whether it has nothing but printable ASCII, as a target must (RFC 9112 section 3.2, RFC 3986 section 2).
pub fn is_target(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, TARGET)
}

/// Whether two names are the same in whatever case. Compares eight letters at once, some of them twice.
pub fn same_name(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    match (one.last_chunk(), other.last_chunk()) {
        (Some(end), Some(other_end)) => {
            let words = one.as_chunks().0.iter().zip(other.as_chunks().0).chain([(end, other_end)]);
            words.into_iter().all(|(one, other)| same_letters(u64::from_le_bytes(*one), u64::from_le_bytes(*other)))
        }
        _ => one.eq_ignore_ascii_case(other),
    }
}

/// Whether eight bytes differ in nothing but the case of their letters.
fn same_letters(one: u64, other: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const CASE: u64 = ONES << 5;
    const HIGH: u64 = ONES << 7;
    let difference = one ^ other;
    // The high bit of each byte says whether it is a letter. What is added never carries into the next byte.
    let small = (one | CASE) & !HIGH;
    let from = |letter: u8| small + ONES * u64::from(0x80 - letter);
    let letters = from(b'a') & !from(b'z' + 1) & !one & HIGH;
    difference & !(letters >> 2) == 0
}

/// Without the spaces and tabs around it (RFC 9110 section 5.6.3).
pub fn trim(bytes: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = bytes.iter().position(|byte| !is_space(byte)).unwrap_or(bytes.len());
    trim_end(&bytes[start..])
}

/// Without the spaces and tabs behind it.
pub fn trim_end(bytes: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let end = bytes.iter().rposition(|byte| !is_space(byte)).map_or(0, |last| last + 1);
    &bytes[..end]
}

/// Digits, and nothing else, that fit into 64 bits.
pub fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::{decimal, is_target, is_token, is_value, same_name, trim};

    #[test]
    fn bytes_belong_where_the_grammar_has_them() {
        assert!(is_token(b"X-Forwarded-For!#$%&'*+.^_`|~09"));
        for byte in b" \t\r\n\0:;,/()<>@\"\\[]?={}\x7f\x80\xff" {
            assert!(!is_token(&[b'a', *byte]), "{byte:#x}");
        }
        assert!(is_value(b"a b\tc\x80\xff~") && is_value(b""));
        for byte in [0, 1, 8, b'\n', 0xb, b'\r', 0x1f, 0x7f] {
            assert!(!is_value(&[byte]), "{byte:#x}");
        }
        assert!(is_target(b"/<>\"{}|^`\\") && !is_target(b"") && !is_target(b"/\xc3") && !is_target(b"/ "));
    }

    #[test]
    fn a_number_has_digits_only() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for text in [&b""[..], b"+1", b"-1", b"1 ", b"0x1", b"1_0", b"18446744073709551616", b"\xb2"] {
            assert_eq!(decimal(text), None, "{text:?}");
        }
    }

    #[test]
    fn names_are_the_same_in_whatever_case() {
        let name = b"x-rEqUEsT-id0_~a";
        for length in 0..=name.len() {
            let name = &name[..length];
            assert!(same_name(name, &name.to_ascii_uppercase()) && same_name(&name.to_ascii_lowercase(), name));
            assert!(!same_name(name, &[name, b"a"].concat()));
            for (at, byte) in (0..length).flat_map(|at| (0..=u8::MAX).map(move |byte| (at, byte))) {
                let mut other = name.to_vec();
                other[at] = byte;
                assert_eq!(same_name(name, &other), name.eq_ignore_ascii_case(&other), "{byte:x} at {at} of {length}");
            }
        }
        for (one, other) in (0..=u8::MAX).flat_map(|one| (0..=u8::MAX).map(move |other| ([one; 9], [other; 9]))) {
            assert_eq!(same_name(&one, &other), one.eq_ignore_ascii_case(&other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn spaces_and_tabs_are_trimmed_and_nothing_else() {
        assert_eq!(trim(b" \ta b\t "), b"a b");
        assert_eq!(trim(b" \t"), b"");
        assert_eq!(trim(b"\x0ba\x0b"), b"\x0ba\x0b");
    }
}
