//! What a proxy says of its client before the first request (the PROXY protocol, versions 1 and 2).

use std::net::SocketAddr;

use ppp::{v1, v2};

use super::Refusal;
use crate::settings::ProxyProtocol;

/// What was said of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Proxied {
    /// `TCP4`, `TCP6`, `LOCAL` for the proxy's own connections, `UNKNOWN`.
    pub protocol: &'static str,
    /// The client, and the address at the proxy that it connected to. None where the proxy did not say.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyHeader {
    /// That cannot be said yet: so many bytes more are part of it at least, where it is one.
    Incomplete(usize),
    /// A request.
    Absent,
    /// A header of this length.
    Present(Proxied, usize),
}

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// No header of version 1 is longer, says its specification.
const LONGEST_V1: usize = 107;

const TOO_LONG: Refusal = Refusal::bad("Invalid PROXY header: it is too long");

/// What a header of version 2 begins with: the signature, the version and the command, the protocol, the length of the rest.
const HEAD_V2: usize = 16;

/// The version and the command of a connection that is the proxy's own, in one byte.
const LOCAL: u8 = 0x20;

impl ProxyHeader {
    /// Reads the header, if there is one of the version that the setting allows.
    ///
    /// # Errors
    /// It is malformed.
    pub fn read(bytes: &[u8], mode: ProxyProtocol) -> Result<Self, Refusal> {
        let begins = |signature: &[u8]| {
            let length = signature.len().min(bytes.len());
            bytes[..length] == signature[..length]
        };
        let v1 = matches!(mode, ProxyProtocol::V1 | ProxyProtocol::Auto) && begins(V1);
        let v2 = matches!(mode, ProxyProtocol::V2 | ProxyProtocol::Auto) && begins(V2);
        if !v1 && !v2 {
            return Ok(Self::Absent);
        }
        let signature = if v1 { V1 } else { V2 };
        if bytes.len() < signature.len() {
            return Ok(Self::Incomplete(signature.len() - bytes.len()));
        }
        if v1 { read_v1(bytes) } else { read_v2(bytes) }
    }
}

fn read_v1(bytes: &[u8]) -> Result<ProxyHeader, Refusal> {
    let Some(newline) = bytes.iter().take(LONGEST_V1).position(|byte| *byte == b'\n') else {
        let is_too_long = bytes.len() >= LONGEST_V1;
        return if is_too_long { Err(TOO_LONG) } else { Ok(ProxyHeader::Incomplete(1)) };
    };
    // What else is in such a line is to be ignored (section 2.1).
    if let Some(rest) = bytes[..=newline].strip_prefix(b"PROXY UNKNOWN")
        && rest.ends_with(b"\r\n")
        && rest.starts_with(b" ")
    {
        return Ok(ProxyHeader::Present(Proxied { protocol: "UNKNOWN", addresses: None }, newline + 1));
    }
    let header = v1::Header::try_from(&bytes[..=newline]).map_err(|_| Refusal::bad("Invalid PROXY header"))?;
    let proxied = match header.addresses {
        v1::Addresses::Tcp4(ip) => proxied(
            "TCP4",
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        ),
        v1::Addresses::Tcp6(ip) => proxied(
            "TCP6",
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        ),
        v1::Addresses::Unknown => Proxied { protocol: "UNKNOWN", addresses: None },
    };
    Ok(ProxyHeader::Present(proxied, header.header.len()))
}

fn read_v2(bytes: &[u8]) -> Result<ProxyHeader, Refusal> {
    let Some((head, rest)) = bytes.split_at_checked(HEAD_V2) else {
        return Ok(ProxyHeader::Incomplete(HEAD_V2 - bytes.len()));
    };
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if rest.len() < length {
        return Ok(ProxyHeader::Incomplete(length - rest.len()));
    }
    // Its protocol and its addresses are to be ignored (section 2.2).
    if head[12] == LOCAL {
        return Ok(ProxyHeader::Present(Proxied { protocol: "LOCAL", addresses: None }, HEAD_V2 + length));
    }
    let header = v2::Header::try_from(bytes).map_err(|_| Refusal::bad("Invalid PROXY header"))?;
    let proxied = match (header.protocol, header.addresses) {
        // What the specification does not list is to be refused, and it lists no unspecified protocol of an address.
        (v2::Protocol::Unspecified, v2::Addresses::IPv4(_) | v2::Addresses::IPv6(_) | v2::Addresses::Unix(_)) => {
            return Err(Refusal::bad("Invalid PROXY header: it has addresses of no protocol"));
        }
        (v2::Protocol::Datagram, _) => return Err(Refusal::bad("Invalid PROXY header: only TCP is supported")),
        (_, v2::Addresses::IPv4(ip)) => proxied(
            "TCP4",
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        ),
        (_, v2::Addresses::IPv6(ip)) => proxied(
            "TCP6",
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        ),
        (_, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => Proxied { protocol: "UNKNOWN", addresses: None },
    };
    Ok(ProxyHeader::Present(proxied, header.header.len()))
}

fn proxied(protocol: &'static str, client: SocketAddr, proxy: SocketAddr) -> Proxied {
    Proxied { protocol, addresses: Some((client, proxy)) }
}

#[cfg(test)]
mod tests {
    use super::{Proxied, ProxyHeader, V2};
    use crate::settings::ProxyProtocol::{self, Auto, Off, V1 as First, V2 as Second};

    /// Whether it needs more, and asks for no byte behind the header's `whole`.
    fn is_incomplete(bytes: &[u8], mode: ProxyProtocol, whole: usize) -> bool {
        let missing = ProxyHeader::read(bytes, mode);
        matches!(missing, Ok(ProxyHeader::Incomplete(size)) if size > 0 && bytes.len() + size <= whole)
    }

    #[test]
    fn version_1_names_the_client_in_text() {
        let text = b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n";
        let expected = Proxied {
            protocol: "TCP4",
            addresses: Some(("192.0.2.1:4711".parse().expect("valid"), "192.0.2.2:80".parse().expect("valid"))),
        };
        let with_request = [&text[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
        for mode in [First, Auto] {
            assert_eq!(ProxyHeader::read(&with_request, mode), Ok(ProxyHeader::Present(expected, text.len())));
            for end in 0..text.len() {
                assert!(is_incomplete(&text[..end], mode, text.len()), "{end}");
            }
        }
        for mode in [Off, Second] {
            assert_eq!(ProxyHeader::read(text, mode), Ok(ProxyHeader::Absent));
        }
        for rest in ["\r\n", " a b c d e\r\n", " ::1 ::1 70000 1\r\n"] {
            let text = format!("PROXY UNKNOWN{rest}");
            let Ok(ProxyHeader::Present(unknown, length)) = ProxyHeader::read(text.as_bytes(), Auto) else {
                panic!("{text}")
            };
            assert_eq!((unknown.protocol, unknown.addresses, length), ("UNKNOWN", None, text.len()));
        }
        for text in [
            "PROXY UNKNOWNS a\r\n",
            "PROXY UNKNOWN a\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 4711 70000\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY UDP4 1.1.1.1 1.1.1.1 1 2\r\n",
        ] {
            assert!(ProxyHeader::read(text.as_bytes(), Auto).is_err(), "{text}");
        }
    }

    #[test]
    fn version_2_names_the_client_in_bytes() {
        let addresses = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x67, 0, 80];
        let header = [V2, &[0x21, 0x11, 0, 12], &addresses].concat();
        let Ok(ProxyHeader::Present(proxied, length)) = ProxyHeader::read(&header, Auto) else { panic!("not read") };
        assert_eq!((proxied.protocol, length), ("TCP4", 28));
        assert_eq!(proxied.addresses.map(|(client, _)| client.to_string()).as_deref(), Some("192.0.2.1:4711"));
        for end in 0..header.len() {
            assert!(is_incomplete(&header[..end], Second, header.len()), "{end}");
        }
        for (family, size) in [(0, 0_u16), (0xff, 0), (0x11, 0), (0x11, 12), (0x21, 5), (0, 65535)] {
            let [high, low] = size.to_be_bytes();
            let local = [V2, &[0x20, family, high, low], &vec![7; size.into()]].concat();
            let Ok(ProxyHeader::Present(proxied, length)) = ProxyHeader::read(&local, Auto) else {
                panic!("{family:x}")
            };
            assert_eq!((proxied.protocol, proxied.addresses, length), ("LOCAL", None, local.len()));
            assert_eq!(ProxyHeader::read(&local[..local.len() - 1], Auto), Ok(ProxyHeader::Incomplete(1)));
        }
        for size in [4097_u16, 65535] {
            let [high, low] = size.to_be_bytes();
            // What fills the rest up is of no meaning (PP2_TYPE_NOOP).
            let [noop_high, noop_low] = (size - 15).to_be_bytes();
            let noop = [&[4, noop_high, noop_low][..], &vec![0; usize::from(size - 15)]].concat();
            let header = [V2, &[0x21, 0x11, high, low], &addresses, &noop].concat();
            let Ok(ProxyHeader::Present(proxied, length)) = ProxyHeader::read(&header, Auto) else { panic!("{size}") };
            assert_eq!((proxied.protocol, length), ("TCP4", header.len()));
        }
        for bad in
            [[0x31, 0x11, 0, 12], [0x2f, 0x11, 0, 12], [0x21, 0x12, 0, 12], [0x21, 0x10, 0, 12], [0x21, 0x11, 0, 2]]
        {
            let header = [V2, &bad, &addresses].concat();
            assert!(ProxyHeader::read(&header, Auto).is_err(), "{bad:x?}");
        }
    }
}
