//! The keys of an environ as Python strings, made once.

use std::collections::HashMap;

use pyo3::{prelude::*, types::PyString};

use crate::wsgi::Key;

/// How many names of header fields are kept that no list foresaw. A client can send any name, so there is an end to it.
const LEARNED: usize = 256;

/// Every key that a request can set.
pub struct Names {
    fixed: Vec<Py<PyString>>,
    headers: std::sync::Mutex<HashMap<Box<[u8]>, Py<PyString>>>,
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
        let fixed = FIXED.iter().map(|name| PyString::intern(py, name).unbind()).collect();
        Self { fixed, headers: std::sync::Mutex::default() }
    }

    /// The Python string of a key.
    pub fn get<'py>(&self, py: Python<'py>, key: Key<'_>) -> Bound<'py, PyString> {
        let index = match key {
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
            Key::ProxyPort => 15,
            Key::Header(name) => return self.header(py, name),
        };
        self.fixed[index].bind(py).clone()
    }

    /// The key of a field whose name is this, as it was sent.
    fn header<'py>(&self, py: Python<'py>, name: &[u8]) -> Bound<'py, PyString> {
        let mut headers = self.headers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(found) = headers.get(name) {
            return found.bind(py).clone();
        }
        let letter = |byte: &u8| if *byte == b'-' { '_' } else { char::from(byte.to_ascii_uppercase()) };
        let key: String = "HTTP_".chars().chain(name.iter().map(letter)).collect();
        let string = PyString::new(py, &key);
        if headers.len() < LEARNED {
            headers.insert(name.into(), string.clone().unbind());
        }
        string
    }
}

#[cfg(test)]
mod tests {
    use super::FIXED;

    #[test]
    fn every_fixed_key_has_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = FIXED.iter().collect();
        assert_eq!(names.len(), FIXED.len());
    }
}
