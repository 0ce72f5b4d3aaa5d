//! The strings of environs: keys, made once, and values that are the same as those of the request before.
//!
//! Each app thread has its own, so there is nothing to lock.

use std::net::IpAddr;

use pyo3::{prelude::*, types::PyString};

use super::capi::latin1;
use crate::wsgi::Key;

/// How many names of header fields are kept. A client can send any name, so there is an end to it.
const LEARNED: usize = 256;

/// The places for them, a power of two. Most are empty, so that a name is found where it should be, or next to it.
const PLACES: usize = 1024;

/// Longer values are not kept.
const LONGEST: usize = 128;

/// What is one client's own is not kept beyond its request.
const SECRETS: [&str; 3] = ["cookie", "authorization", "proxy-authorization"];

/// How many ports of clients are kept, a power of two.
const PORTS: usize = 128;

/// A key and its value.
pub type Item<'py> = (Bound<'py, PyString>, Bound<'py, PyString>);

/// The keys that a request can set, and what they were set to last.
pub struct Names {
    fixed: [Variable; FIXED.len()],
    /// Numbers of the fields below, from 1.
    places: Box<[u16; PLACES]>,
    fields: Vec<(Box<[u8]>, Variable)>,
    address: Option<(IpAddr, Py<PyString>)>,
    ports: [Option<(u16, Py<PyString>)>; PORTS],
}

/// A key, and the value that it was set to last.
struct Variable {
    key: Py<PyString>,
    last: Option<(Vec<u8>, Py<PyString>)>,
    kept: Kept,
}

/// What becomes of a value.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Kept {
    /// It is every environ's already, and stays.
    Always,
    /// It is kept until there is another.
    Last,
    Never,
}

const FIXED: [&str; 16] = [
    "REQUEST_METHOD",
    "QUERY_STRING",
    "RAW_URI",
    "SERVER_PROTOCOL",
    "wsgi.url_scheme",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "SERVER_NAME",
    "SERVER_PORT",
    "PATH_INFO",
    "SCRIPT_NAME",
    "CONTENT_TYPE",
    "CONTENT_LENGTH",
    "PROXY_PROTOCOL",
    "PROXY_ADDR",
    "PROXY_PORT",
];

impl Names {
    pub fn new(py: Python<'_>) -> Self {
        Self {
            fixed: FIXED.map(|name| Variable::new(&PyString::intern(py, name), Kept::Last)),
            places: Box::new([0; PLACES]),
            fields: Vec::new(),
            address: None,
            ports: [const { None }; PORTS],
        }
    }

    /// A key and its value, to be put into an environ; `None` where they are in every environ.
    pub fn item<'py>(&mut self, py: Python<'py>, key: Key<'_>, value: &[u8]) -> Option<Item<'py>> {
        match self.variable(py, key) {
            Ok(variable) => variable.item(py, value),
            Err(key) => Some((key, latin1(py, value))),
        }
    }

    /// Remembers that every environ has this value unless it is set to another.
    pub fn settle<'py>(&mut self, py: Python<'py>, key: Key<'_>, value: &[u8]) -> Option<Item<'py>> {
        let variable = self.variable(py, key).ok()?;
        let item = variable.item(py, value);
        variable.kept = Kept::Always;
        item
    }

    /// The key and the value for a client's address.
    pub fn address<'py>(&mut self, py: Python<'py>, address: IpAddr) -> Item<'py> {
        let text = match &self.address {
            Some((last, text)) if *last == address => text.bind(py).clone(),
            _ => {
                let text = PyString::new(py, &address.to_string());
                self.address = Some((address, text.clone().unbind()));
                text
            }
        };
        (self.fixed[place(Key::RemoteAddr)].key.bind(py).clone(), text)
    }

    /// The key and the value for a client's port.
    pub fn port<'py>(&mut self, py: Python<'py>, port: u16) -> Item<'py> {
        let last = &mut self.ports[usize::from(port) % PORTS];
        let text = match last {
            Some((last, text)) if *last == port => text.bind(py).clone(),
            _ => {
                let text = PyString::new(py, &port.to_string());
                *last = Some((port, text.clone().unbind()));
                text
            }
        };
        (self.fixed[place(Key::RemotePort)].key.bind(py).clone(), text)
    }

    /// What is kept of a key; where nothing is, the key.
    fn variable<'py>(&mut self, py: Python<'py>, key: Key<'_>) -> Result<&mut Variable, Bound<'py, PyString>> {
        let Key::Header(name) = key else { return Ok(&mut self.fixed[place(key)]) };
        let mut place = hash(name) % PLACES;
        while let Some(number) = usize::from(self.places[place]).checked_sub(1) {
            if same(&self.fields[number].0, name) {
                return Ok(&mut self.fields[number].1);
            }
            place = (place + 1) % PLACES;
        }
        let letter = |byte: &u8| if *byte == b'-' { '_' } else { char::from(byte.to_ascii_uppercase()) };
        let key: String = "HTTP_".chars().chain(name.iter().map(letter)).collect();
        if self.fields.len() == LEARNED {
            return Err(PyString::new(py, &key));
        }
        let is_secret = SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret.as_bytes()));
        let variable = Variable::new(&PyString::intern(py, &key), if is_secret { Kept::Never } else { Kept::Last });
        let number = self.fields.len();
        self.fields.push((name.into(), variable));
        self.places[place] = u16::try_from(number + 1).expect("there are no more than LEARNED");
        Ok(&mut self.fields[number].1)
    }
}

impl Variable {
    fn new(key: &Bound<'_, PyString>, kept: Kept) -> Self {
        Self { key: key.clone().unbind(), last: None, kept }
    }

    fn item<'py>(&mut self, py: Python<'py>, value: &[u8]) -> Option<Item<'py>> {
        let key = self.key.bind(py).clone();
        if let Some((bytes, text)) = &self.last
            && same(bytes, value)
        {
            return (self.kept != Kept::Always).then(|| (key, text.bind(py).clone()));
        }
        let text = latin1(py, value);
        if self.kept == Kept::Last && value.len() <= LONGEST {
            self.last = Some((value.to_vec(), text.clone().unbind()));
        }
        Some((key, text))
    }
}

/// Whether two texts are the same. Most are short: then a call of memcmp would cost more than the comparison.
fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    match (one.first_chunk::<8>(), other.first_chunk::<8>(), one.last_chunk::<8>(), other.last_chunk::<8>()) {
        (Some(start), Some(other_start), Some(end), Some(other_end)) if one.len() <= 16 => {
            start == other_start && end == other_end
        }
        (None, ..) => one.iter().zip(other).all(|(one, other)| one == other),
        _ => one == other,
    }
}

/// Where a key that is no field's stands.
fn place(key: Key<'_>) -> usize {
    match key {
        Key::RequestMethod => 0,
        Key::QueryString => 1,
        Key::RawUri => 2,
        Key::ServerProtocol => 3,
        Key::UrlScheme => 4,
        Key::RemoteAddr => 5,
        Key::RemotePort => 6,
        Key::ServerName => 7,
        Key::ServerPort => 8,
        Key::PathInfo => 9,
        Key::ScriptName => 10,
        Key::ContentType => 11,
        Key::ContentLength => 12,
        Key::ProxyProtocol => 13,
        Key::ProxyAddr => 14,
        Key::ProxyPort | Key::Header(_) => 15,
    }
}

/// Tells most names apart. Whoever sends names that it does not tell apart makes [`LEARNED`] comparisons of it.
fn hash(name: &[u8]) -> usize {
    let word = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_ne_bytes(word)
    };
    let (start, end) = match name.len() {
        0..=8 => (word(name), 0),
        length => (word(&name[..8]), word(&name[length - 8..])),
    };
    let mixed = (start ^ end.rotate_left(23) ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> 40).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{FIXED, same};

    #[test]
    fn texts_are_compared_to_their_last_byte() {
        let text: Vec<u8> = (0..40).collect();
        for length in 0..text.len() {
            assert!(same(&text[..length], &text.clone()[..length]) && !same(&text[..length], &text[..=length]));
            for wrong in 0..length {
                let mut other = text[..length].to_vec();
                other[wrong] ^= 1;
                assert!(!same(&text[..length], &other), "{length} {wrong}");
            }
        }
    }

    #[test]
    fn every_fixed_key_has_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = FIXED.iter().collect();
        assert_eq!(names.len(), FIXED.len());
    }
}
