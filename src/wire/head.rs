//! The head of a request (RFC 9112 sections 3 and 5).

use std::{borrow::Cow, fmt, ops::Range};

use bytes::{Bytes, BytesMut};

use super::{
    Fields, Framing, Refusal,
    fields::FieldsReader,
    framing::framing,
    policy::{self, Trust},
    syntax, target,
};
use crate::settings::RequestRules;

/// No request line is longer, whatever the limit: gunicorn has 8190 where a limit is set, and none without.
pub const LONGEST: usize = 1 << 20;

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Version(u8, u8);

impl Version {
    /// Connections close behind an answer unless both sides want to keep them.
    pub const HTTP_10: Self = Self(1, 0);
    /// Connections are kept unless one side wants to close them.
    pub const HTTP_11: Self = Self(1, 1);
    /// A connection has many requests at once.
    pub const HTTP_2: Self = Self(2, 0);

    /// The two numbers.
    pub fn numbers(self) -> (u8, u8) {
        (self.0, self.1)
    }

    /// The one with these two numbers.
    pub fn of_numbers(major: u8, minor: u8) -> Self {
        Self(major, minor)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        match text {
            [b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9'] => {
                Some(Self(major - b'0', minor - b'0'))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP/{}.{}", self.0, self.1)
    }
}

/// A request's head that every reader reads in the same way.
#[derive(Debug)]
pub struct Head {
    method: Cow<'static, str>,
    target: Range<usize>,
    path: Range<usize>,
    query: Range<usize>,
    /// The version that the client speaks.
    pub version: Version,
    /// The fields that may reach the app.
    pub fields: Fields,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the client would go on with this connection.
    pub keep_alive: bool,
    /// Whether the client waits to be told to send the body (RFC 9110 section 10.1.1).
    pub expects_continue: bool,
    /// Whether the client speaks TLS, to us or to a proxy that may say so.
    pub https: bool,
    /// What such a proxy says.
    claimed_https: Option<bool>,
}

impl Head {
    /// Reads a head, which ends with its empty line and begins with its first.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: Bytes, rules: &RequestRules, trust: Trust) -> Result<Self, Refusal> {
        let text = if rules.permit_obsolete_folding || rules.casefold_method { prepare(text, rules)? } else { text };
        let mut fields = FieldsReader::new(&text);
        let mut lines = Lines(&text);
        let first = lines.next().unwrap_or_default();
        let mut parts = first.splitn(3, |byte| *byte == b' ');
        let (Some(method), Some(uri), Some(version)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Refusal::bad("Invalid request line: it has not three parts"));
        };
        check_method(method, rules)?;
        if !syntax::is_target(uri) {
            return Err(Refusal::bad("Invalid request line: the target has what must be percent-encoded"));
        }
        let split = target::split(uri, method)?;
        let version = Version::parse(version).ok_or(Refusal::bad("Invalid HTTP version"))?;
        let known = version.0 == 1;
        if !known && !rules.permit_unconventional_version {
            return Err(Refusal::bad("Invalid HTTP version: only HTTP/1 is spoken here"));
        }
        for line in lines.take_while(|line| !line.is_empty()) {
            if matches!(line.first(), Some(b' ' | b'\t')) {
                return Err(FOLDED);
            }
            let (name, value) = field(line, rules)?;
            fields.push(name, value);
        }
        let named = method_of(method);
        let (start, end) = (method.len() + 1, method.len() + 1 + uri.len());
        let mut fields = fields.finish(text);
        if let Some(host) = &split.host
            && fields.get("host").is_none()
        {
            let text = fields.text();
            let behind = memchr::memchr(b'\n', text).map_or(text.len(), |newline| newline + 1);
            let host = &text[start + host.start..start + host.end];
            // It has the place that it would have taken (RFC 9112 section 3.2.2).
            let whole = [&text[..behind], b"Host: ", host, b"\r\n", &text[behind..]].concat();
            return Self::parse(whole.into(), rules, trust);
        }
        let policy = policy::apply(&mut fields, version, rules, trust)?;
        let (framing, coded) = framing(&fields, version)?;
        let keep_alive = !coded && named != "CONNECT" && wants_more(&fields, version);
        let within = |range: Range<usize>| start + range.start..start + range.end;
        if let Some(host) = split.host {
            // Whoever reads the target first must not go to another host than the app (RFC 9112 section 3.2.2).
            fields.replace("host", within(host));
        }
        Ok(Self {
            method: named,
            target: start..end,
            path: within(split.path),
            query: within(split.query),
            version,
            fields,
            framing,
            keep_alive,
            expects_continue: policy.expects_continue && !framing.is_empty(),
            https: policy.https == Some(true),
            claimed_https: policy.https,
        })
    }

    /// The connection has this to say of TLS. As in gunicorn, a proxy's word counts for more.
    pub fn came_by(&mut self, https: bool) {
        self.https = self.claimed_https.unwrap_or(https);
    }

    /// The method, as it was sent.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The target, as it was sent.
    pub fn target(&self) -> &str {
        self.part(&self.target)
    }

    /// The path, not decoded. `*` stays as it is, and an absolute target without a path means `/`.
    pub fn path(&self) -> &str {
        match self.part(&self.path) {
            "" if self.method != "CONNECT" => "/",
            path => path,
        }
    }

    /// The query, not decoded.
    pub fn query(&self) -> &str {
        self.part(&self.query)
    }

    /// The parts of the first line as bytes.
    pub fn line(&self) -> Line<'_> {
        let part = |range: &Range<usize>| &self.fields.text()[range.start..range.end];
        Line {
            method: self.method.as_bytes(),
            target: part(&self.target),
            path: match part(&self.path) {
                b"" if self.method != "CONNECT" => b"/",
                path => path,
            },
            query: part(&self.query),
        }
    }

    fn part(&self, range: &Range<usize>) -> &str {
        std::str::from_utf8(&self.fields.text()[range.clone()]).expect("targets were found to be ASCII")
    }
}

const FOLDED: Refusal = Refusal::bad("A header field goes over several lines, which is obsolete");

/// The first line of a head, which is ASCII.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "each is what the method of the same name gives")]
pub struct Line<'a> {
    pub method: &'a [u8],
    pub target: &'a [u8],
    pub path: &'a [u8],
    pub query: &'a [u8],
}

/// The lines of a head, without their ends.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let newline = memchr::memchr(b'\n', self.0)?;
        let line = &self.0[..newline];
        self.0 = &self.0[newline + 1..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// Brings a head into the form that can be read where settings allow others: fields that go over several lines, methods
/// in small letters.
fn prepare(text: Bytes, rules: &RequestRules) -> Result<Bytes, Refusal> {
    let folded = text.windows(3).any(|three| matches!(three, [b'\r', b'\n', b' ' | b'\t']));
    if folded && !rules.permit_obsolete_folding {
        return Err(FOLDED);
    }
    if !folded && !rules.casefold_method {
        return Ok(text);
    }
    let (mut prepared, mut started) = (BytesMut::with_capacity(text.len()), 0);
    for (number, line) in Lines(&text).enumerate() {
        let folds = matches!(line.first(), Some(b' ' | b'\t'));
        if folds && number < 2 {
            return Err(Refusal::bad("Invalid header field: the first one continues nothing"));
        }
        if folds && !prepared[started..].contains(&b':') {
            // Only a value goes over several lines (RFC 9112 section 5.2).
            return Err(Refusal::bad("Invalid header field: its name goes over several lines"));
        }
        if folds {
            let kept = syntax::trim(&prepared[..prepared.len() - 2]);
            let kept = kept.as_ptr() as usize - prepared.as_ptr() as usize + kept.len();
            prepared.truncate(kept);
            prepared.extend_from_slice(b" ");
            prepared.extend_from_slice(syntax::trim(line));
        } else {
            let start = prepared.len();
            started = start;
            prepared.extend_from_slice(line);
            if number == 0 && rules.casefold_method {
                let end = line.iter().position(|byte| *byte == b' ').unwrap_or(0);
                prepared[start..start + end].make_ascii_uppercase();
            }
        }
        prepared.extend_from_slice(b"\r\n");
    }
    Ok(prepared.freeze())
}

/// A method, which is a token and so ASCII. The common ones need no memory.
fn method_of(method: &[u8]) -> Cow<'static, str> {
    const KNOWN: [&str; 7] = ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"];
    match KNOWN.iter().find(|known| known.as_bytes() == method) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(String::from_utf8_lossy(method).into_owned()),
    }
}

/// gunicorn's rule: what is no method by convention is one by mistake, or by design of an attacker.
fn check_method(method: &[u8], rules: &RequestRules) -> Result<(), Refusal> {
    let conventional =
        (3..=20).contains(&method.len()) && !method.iter().any(|byte| byte.is_ascii_lowercase() || *byte == b'#');
    if !syntax::is_token(method) || !(conventional || rules.permit_unconventional_method) {
        return Err(Refusal::bad("Invalid method"));
    }
    Ok(())
}

fn field<'a>(line: &'a [u8], rules: &RequestRules) -> Result<(&'a [u8], &'a [u8]), Refusal> {
    let colon = memchr::memchr(b':', line).ok_or(Refusal::bad("Invalid header field: it has no colon"))?;
    let mut name = &line[..colon];
    if rules.strip_header_spaces {
        name = syntax::trim_end(name);
    }
    if !syntax::is_token(name) {
        return Err(Refusal::bad("Invalid header name"));
    }
    let value = syntax::trim(&line[colon + 1..]);
    if !syntax::is_value(value) {
        return Err(Refusal::bad("Invalid header value: it has a control character"));
    }
    Ok((name, value))
}

/// Whether the connection goes on behind this request (RFC 9112 section 9.3).
fn wants_more(fields: &Fields, version: Version) -> bool {
    let has = |wanted: &[u8]| {
        let mut options = fields.all("connection").flat_map(|value| value.split(|byte| *byte == b','));
        options.any(|option| syntax::trim(option).eq_ignore_ascii_case(wanted))
    };
    !has(b"close") && (version >= Version::HTTP_11 || has(b"keep-alive"))
}
