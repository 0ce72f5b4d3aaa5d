//! What requests may look like, and whom to believe what they say of where they come from.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Value, resolve::Merged};

/// The rules that a request's head is read by.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "that is how many flags gunicorn has")]
pub struct RequestRules {
    /// `limit_request_line`, in bytes; `None` for none but what memory sets.
    pub limit_line: Option<usize>,
    /// `limit_request_fields`.
    pub limit_fields: usize,
    /// `limit_request_field_size`, in bytes.
    pub limit_field_size: usize,
    /// `header_map`.
    pub header_map: HeaderMap,
    /// `permit_obsolete_folding`.
    pub permit_obsolete_folding: bool,
    /// `strip_header_spaces`.
    pub strip_header_spaces: bool,
    /// `permit_unconventional_http_method`.
    pub permit_unconventional_method: bool,
    /// `permit_unconventional_http_version`.
    pub permit_unconventional_version: bool,
    /// `casefold_http_method`.
    pub casefold_method: bool,
    /// `secure_scheme_headers`: names, and the values by which they mean https.
    pub secure_scheme_headers: Vec<(String, String)>,
    /// `forwarder_headers`.
    pub forwarder_headers: Vec<String>,
}

/// gunicorn's bounds, which hold whatever is set.
pub const MOST_LINE: usize = 8190;
pub const MOST_FIELDS: usize = 32_768;
pub const FIELD_SIZE: usize = 8190;

impl Default for RequestRules {
    fn default() -> Self {
        Self {
            limit_line: Some(4094),
            limit_fields: 100,
            limit_field_size: FIELD_SIZE,
            header_map: HeaderMap::Drop,
            permit_obsolete_folding: false,
            strip_header_spaces: false,
            permit_unconventional_method: false,
            permit_unconventional_version: false,
            casefold_method: false,
            secure_scheme_headers: Vec::new(),
            forwarder_headers: Vec::new(),
        }
    }
}

/// What to do with fields whose names have underscores.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HeaderMap {
    /// Leave them out.
    Drop,
    /// Refuse the request.
    Refuse,
    /// Let them through.
    Dangerous,
}

/// Which versions of the PROXY protocol connections may begin with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyProtocol {
    /// None.
    Off,
    /// Version 1, which is text.
    V1,
    /// Version 2, which is binary.
    V2,
    /// Either.
    Auto,
}

/// Addresses that are believed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Networks {
    all: bool,
    networks: Vec<IpNet>,
}

impl Networks {
    /// Reads addresses, networks and `*`, which were checked before.
    pub(super) fn new(texts: &[String]) -> Self {
        let networks = texts.iter().filter_map(|text| network(text)).map(canonical).collect();
        Self { all: texts.iter().any(|text| text == "*"), networks }
    }

    /// Whether this address is one of them. A peer without one, on a unix socket, always is.
    pub fn contain(&self, address: Option<IpAddr>) -> bool {
        let Some(address) = address.map(|address| address.to_canonical()) else { return true };
        self.all || self.networks.iter().any(|network| network.contains(&address))
    }
}

/// An address or a network, with a prefix's length or a mask behind the slash.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let address = |text: &str| text.parse::<IpAddr>().ok();
    let with_mask = || {
        let (start, mask) = text.split_once('/')?;
        IpNet::with_netmask(address(start)?, address(mask)?).ok()
    };
    text.parse().ok().or_else(|| address(text).map(IpNet::from)).or_else(with_mask)
}

/// IPv4's networks as such, also those that are written as a part of IPv6 (`::ffff:192.0.2.0/120`).
fn canonical(network: IpNet) -> IpNet {
    let mapped = match network {
        IpNet::V6(network) => network.addr().to_ipv4_mapped().zip(network.prefix_len().checked_sub(96)),
        IpNet::V4(_) => None,
    };
    mapped.and_then(|(address, length)| IpNet::new(address.into(), length).ok()).unwrap_or(network)
}

impl Merged {
    pub(super) fn request_rules(&self) -> RequestRules {
        let secure = match self.value("secure_scheme_headers") {
            Value::Map(map) => map
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
                .collect(),
            _ => Vec::new(),
        };
        RequestRules {
            limit_line: match self.size("limit_request_line") {
                0 => None,
                limit => Some(limit.min(MOST_LINE)),
            },
            limit_fields: match self.size("limit_request_fields") {
                0 => MOST_FIELDS,
                limit => limit.min(MOST_FIELDS),
            },
            limit_field_size: match self.size("limit_request_field_size") {
                0 => FIELD_SIZE,
                limit => limit,
            },
            header_map: match self.text("header_map").as_deref() {
                Some("refuse") => HeaderMap::Refuse,
                Some("dangerous") => HeaderMap::Dangerous,
                _ => HeaderMap::Drop,
            },
            permit_obsolete_folding: self.flag("permit_obsolete_folding"),
            strip_header_spaces: self.flag("strip_header_spaces"),
            permit_unconventional_method: self.flag("permit_unconventional_http_method"),
            permit_unconventional_version: self.flag("permit_unconventional_http_version"),
            casefold_method: self.flag("casefold_http_method"),
            secure_scheme_headers: secure,
            forwarder_headers: self.value("forwarder_headers").texts(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Networks;

    #[test]
    fn networks_contain_their_addresses() {
        let networks = Networks::new(&["127.0.0.1".to_owned(), "192.0.2.0/24".to_owned(), "::1".to_owned()]);
        let contains = |text: &str| networks.contain(text.parse().ok());
        assert!(contains("127.0.0.1") && contains("192.0.2.255") && contains("::1") && contains("::ffff:192.0.2.1"));
        assert!(!contains("127.0.0.2") && !contains("192.0.3.0") && !contains("::2"));
        assert!(networks.contain(None), "a unix socket");
        let mapped = Networks::new(&["::ffff:127.0.0.1".to_owned(), "::ffff:10.0.0.0/104".to_owned()]);
        let contains = |text: &str| mapped.contain(text.parse().ok());
        assert!(contains("127.0.0.1") && contains("::ffff:127.0.0.1") && contains("10.255.0.1"));
        assert!(!contains("127.0.0.2") && !contains("11.0.0.1") && !contains("::1"));
        assert!(Networks::new(&["*".to_owned()]).contain("203.0.113.1".parse().ok()));
        assert!(!Networks::default().contain("203.0.113.1".parse().ok()));
    }
}
