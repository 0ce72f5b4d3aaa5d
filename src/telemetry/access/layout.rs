//! A request as a line of the access log: in a format of gunicorn's, or as a JSON object.

use std::{io::Write as _, net::IpAddr, time::Duration};

use http::header;

use super::format::{Atom, Format, Needs, Part};
use crate::telemetry::{
    clock::{Clock, Form},
    text,
};

/// What is known of a request and its answer. Texts are as they came.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The client's address; none on a unix socket.
    pub remote_addr: Option<IpAddr>,
    /// The request's method.
    pub method: &'a [u8],
    /// The request's target as it came.
    pub target: &'a [u8],
    /// The part of it behind the question mark.
    pub query: &'a [u8],
    /// `HTTP/1.1`, say.
    pub protocol: &'a str,
    /// The answer's status.
    pub status: u16,
    /// Bytes of the answer's body.
    pub sent: u64,
    /// From the request's head to the end of its answer.
    pub duration: Duration,
    /// The fields of the request that are needed, in the order of [`Needs`].
    pub request_fields: &'a [Option<&'a [u8]>],
    /// The fields of the answer that are needed.
    pub response_fields: &'a [Option<&'a [u8]>],
    /// The variables that are needed: `REMOTE_ADDR` only where the app has replaced it.
    pub variables: &'a [Option<Vec<u8>>],
}

/// How lines look.
#[derive(Clone, Debug)]
pub enum Layout {
    /// As a format says.
    Text(Format),
    /// As an object with these members.
    Json(Vec<(String, Atom)>, Needs),
}

impl Layout {
    /// One JSON object a line: what is always there, and the fields and variables that `format` names.
    pub fn json(format: &Format) -> Self {
        let mut needs = format.needs.clone();
        needs.duration = true;
        let mut members: Vec<(String, Atom)> = vec![
            ("remote_addr".to_owned(), Atom::RemoteAddr),
            ("remote_user".to_owned(), Atom::User(needs.request_field(&header::AUTHORIZATION))),
            ("method".to_owned(), Atom::Method),
            ("target".to_owned(), Atom::Target),
            ("protocol".to_owned(), Atom::Protocol),
            ("status".to_owned(), Atom::Status),
            ("bytes".to_owned(), Atom::Sent),
            ("duration_us".to_owned(), Atom::Microseconds),
            ("referer".to_owned(), Atom::RequestField(needs.request_field(&header::REFERER))),
            ("user_agent".to_owned(), Atom::RequestField(needs.request_field(&header::USER_AGENT))),
            ("pid".to_owned(), Atom::ProcessId),
        ];
        for part in &format.parts {
            let Part::Atom(atom, _) = part else { continue };
            let name = match atom {
                Atom::RequestField(index) => format!("request.{}", needs.request_fields[*index]),
                Atom::ResponseField(index) => format!("response.{}", needs.response_fields[*index]),
                Atom::Variable(index) => format!("environ.{}", needs.variables[*index]),
                _ => continue,
            };
            let known = members.iter().any(|(other, known)| known == atom || *other == name);
            if !known {
                members.push((name, atom.clone()));
            }
        }
        Self::Json(members, needs)
    }

    /// What lines need to be told.
    pub fn needs(&self) -> &Needs {
        match self {
            Self::Text(format) => &format.needs,
            Self::Json(_, needs) => needs,
        }
    }

    /// The clock that lines are written with.
    pub fn clock(&self) -> Clock {
        Clock::new(if matches!(self, Self::Text(_)) { Form::Access } else { Form::Rfc3339 })
    }

    /// Appends a line, newline included.
    pub fn write(&self, line: &mut Vec<u8>, record: &Record<'_>, clock: &mut Clock) {
        match self {
            Self::Text(format) => {
                for part in &format.parts {
                    match part {
                        Part::Literal(text) => text.write(line),
                        Part::Atom(atom, 0) => record.write(atom, line, clock),
                        Part::Atom(atom, width) => {
                            let start = line.len();
                            record.write(atom, line, clock);
                            pad(line, start, *width);
                        }
                    }
                }
            }
            Self::Json(members, _) => {
                line.extend_from_slice(b"{\"time\":\"");
                clock.write(line);
                line.push(b'"');
                for (name, atom) in members {
                    line.push(b',');
                    text::json(line, name.as_bytes());
                    line.push(b':');
                    record.write_json(atom, line);
                }
                line.extend_from_slice(b"}\n");
            }
        }
    }
}

fn pad(line: &mut Vec<u8>, start: usize, width: i16) {
    let missing = usize::from(width.unsigned_abs()).saturating_sub(line.len() - start);
    let at = if width < 0 { line.len() } else { start };
    line.splice(at..at, std::iter::repeat_n(b' ', missing));
}

/// One of the fields that were asked for.
fn field<'a>(fields: &[Option<&'a [u8]>], index: usize) -> Option<&'a [u8]> {
    fields.get(index).copied().flatten()
}

impl Record<'_> {
    fn write(&self, atom: &Atom, line: &mut Vec<u8>, clock: &mut Clock) {
        match atom {
            Atom::LogName | Atom::Unknown => line.push(b'-'),
            Atom::Time => clock.write(line),
            Atom::RemoteAddr if self.variable(0).is_none() => match self.remote_addr {
                Some(remote) => address(line, remote),
                None => line.push(b'-'),
            },
            Atom::RequestLine => {
                text::value(line, self.method);
                line.push(b' ');
                text::value(line, self.target);
                line.push(b' ');
                line.extend_from_slice(self.protocol.as_bytes());
            }
            Atom::Decimal => {
                let (seconds, microseconds) = (self.duration.as_secs(), self.duration.subsec_micros());
                drop(write!(line, "{seconds}.{microseconds:06}"));
            }
            Atom::ProcessId => drop(write!(line, "<{}>", std::process::id())),
            atom => match self.number(atom) {
                Some(number) => decimal(line, number),
                None => self.with_text(atom, |bytes| match bytes {
                    Some(bytes) if !bytes.is_empty() || matches!(atom, Atom::Query) => text::value(line, bytes),
                    _ => line.push(b'-'),
                }),
            },
        }
    }

    fn write_json(&self, atom: &Atom, line: &mut Vec<u8>) {
        match (atom, self.number(atom)) {
            (Atom::ProcessId, _) => decimal(line, u64::from(std::process::id())),
            (_, Some(number)) => decimal(line, number),
            (_, None) => self.with_text(atom, |bytes| match bytes {
                Some(bytes) => text::json(line, bytes),
                None => line.extend_from_slice(b"null"),
            }),
        }
    }

    fn number(&self, atom: &Atom) -> Option<u64> {
        Some(match atom {
            Atom::Status => u64::from(self.status),
            Atom::Sent => self.sent,
            Atom::Seconds => self.duration.as_secs(),
            Atom::Milliseconds => u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
            Atom::Microseconds => u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX),
            _ => return None,
        })
    }

    /// Hands on what an atom says, where that is text.
    fn with_text(&self, atom: &Atom, take: impl FnOnce(Option<&[u8]>)) {
        match atom {
            Atom::RemoteAddr => match (self.variable(0), self.remote_addr) {
                (Some(replaced), _) => take(Some(replaced)),
                (None, Some(address)) => {
                    let mut text = Vec::new();
                    self::address(&mut text, address);
                    take(Some(&text));
                }
                (None, None) => take(None),
            },
            Atom::User(index) => {
                let credentials = field(self.request_fields, *index);
                take(credentials.and_then(user_of).as_deref());
            }
            Atom::Method => take(Some(self.method)),
            Atom::Target => take(Some(self.target)),
            Atom::Query => take(Some(self.query)),
            Atom::Protocol => take(Some(self.protocol.as_bytes())),
            Atom::RequestField(index) => take(field(self.request_fields, *index)),
            Atom::ResponseField(index) => take(field(self.response_fields, *index)),
            // The first variable is kept only where it was replaced.
            Atom::Variable(0) => self.with_text(&Atom::RemoteAddr, take),
            Atom::Variable(index) => take(self.variable(*index)),
            _ => take(None),
        }
    }

    fn variable(&self, index: usize) -> Option<&[u8]> {
        self.variables.get(index).and_then(Option::as_deref)
    }
}

fn decimal(line: &mut Vec<u8>, number: u64) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends an address. None has anything in it that would need care.
fn address(line: &mut Vec<u8>, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let (mut text, mut end) = ([0; 16], 0);
            for octet in address.octets() {
                for (unit, digits) in [(100, 3), (10, 2), (1, 1)] {
                    if digits == 1 || octet >= unit {
                        text[end] = b'0' + octet / unit % 10;
                        end += 1;
                    }
                }
                text[end] = b'.';
                end += 1;
            }
            // The dot behind the last is not.
            line.extend_from_slice(&text[..end - 1]);
        }
        IpAddr::V6(address) => drop(write!(line, "{address}")),
    }
}

/// The user of a `Basic` credential (RFC 7617).
fn user_of(authorization: &[u8]) -> Option<Vec<u8>> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let (scheme, encoded) = std::str::from_utf8(authorization).ok()?.split_once(' ')?;
    let mut user = STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    user.truncate(user.iter().position(|byte| *byte == b':').unwrap_or(user.len()));
    Some(user).filter(|user| !user.is_empty() && std::str::from_utf8(user).is_ok())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Format, Layout, Record};

    fn record() -> Record<'static> {
        Record {
            remote_addr: Some([127, 0, 0, 1].into()),
            method: b"GET",
            target: b"/a?b=c",
            query: b"b=c",
            protocol: "HTTP/1.1",
            status: 200,
            sent: 12,
            duration: Duration::from_micros(1_234_567),
            request_fields: &[],
            response_fields: &[],
            variables: &[],
        }
    }

    fn line(layout: &Layout, record: &Record<'_>) -> String {
        let mut line = Vec::new();
        layout.write(&mut line, record, &mut layout.clock());
        String::from_utf8(line).expect("a line is text")
    }

    fn text(format: &str, record: &Record<'_>) -> String {
        line(&Layout::Text(Format::parse(format).expect("a valid format")), record)
    }

    #[test]
    fn addresses_are_written_as_everywhere() {
        for octet in 0..=u8::MAX {
            let address = std::net::Ipv4Addr::new(octet, 0, 255, octet);
            let record = Record { remote_addr: Some(address.into()), ..record() };
            assert_eq!(text("%(h)s", &record), format!("{address}\n"));
        }
    }

    #[test]
    fn every_atom_says_what_gunicorns_does() {
        let pid = format!("<{}>\n", std::process::id());
        for (format, expected) in [
            ("%(h)s", "127.0.0.1\n"),
            ("%(l)s", "-\n"),
            ("%(u)s", "-\n"),
            ("%(r)s", "GET /a?b=c HTTP/1.1\n"),
            ("%(s)s", "200\n"),
            ("%(m)s", "GET\n"),
            ("%(U)s", "-\n"),
            ("%(q)s", "b=c\n"),
            ("%(H)s", "HTTP/1.1\n"),
            ("%(b)s %(B)d", "12 12\n"),
            ("%(f)s %(a)s", "- -\n"),
            ("%(T)s %(D)s %(M)s %(L)s", "1 1234567 1234 1.234567\n"),
            ("%(p)s", &pid),
            ("%({x}i)s %({x}o)s %({x}e)s", "- - -\n"),
            ("%(s)5s|%(s)-5s|%(s)2s", "  200|200  |200\n"),
        ] {
            assert_eq!(text(format, &record()), expected, "{format}");
        }
        let time = text("%(t)s", &record());
        assert!(time.starts_with('[') && time.ends_with("]\n") && time.len() == 29, "{time}");
    }

    #[test]
    fn fields_and_variables_are_those_that_were_asked_for() {
        let fields = [Some(&b"one"[..]), None, Some(&b"three"[..])];
        let variables = [None, Some(b"/\xe9 \n".to_vec()), Some(b"42".to_vec())];
        let record = Record { request_fields: &fields, response_fields: &fields, variables: &variables, ..record() };
        let format = "%({a}i)s %({b}i)s %({c}i)s %({a}o)s %({c}o)s %({b}o)s %(U)s %({user}e)s %({REMOTE_ADDR}e)s";
        assert_eq!(text(format, &record), "one - three one - three /\\xe9 \\x0a 42 127.0.0.1\n");
    }

    #[test]
    fn an_address_that_the_app_replaced_is_the_clients() {
        let variables = [Some(b"192.0.2.7".to_vec())];
        assert_eq!(text("%(h)s", &Record { variables: &variables, ..record() }), "192.0.2.7\n");
        assert_eq!(text("%(h)s", &Record { remote_addr: None, ..record() }), "-\n");
        let v6 = "::ffff:192.0.2.1".parse().ok();
        assert_eq!(text("%(h)s", &Record { remote_addr: v6, ..record() }), "192.0.2.1\n");
    }

    #[test]
    fn the_user_of_basic_authentication_is_named() {
        // user:pass, user, :pass, a non-UTF-8 user
        for (credentials, user) in [
            ("Basic dXNlcjpwYXNz", "user\n"),
            ("bAsIc dXNlcg==", "user\n"),
            ("Basic OnBhc3M=", "-\n"),
            ("Basic /zpw", "-\n"),
            ("Bearer dXNlcjpwYXNz", "-\n"),
            ("Basic", "-\n"),
        ] {
            let fields = [Some(credentials.as_bytes())];
            assert_eq!(text("%(u)s", &Record { request_fields: &fields, ..record() }), user, "{credentials}");
        }
    }

    #[test]
    fn a_json_line_has_every_member_and_those_that_the_format_adds() {
        let format = Format::parse("%(h)s %({X-A}i)s %({X-B}o)s %({user}e)s %(a)s").expect("valid");
        let layout = Layout::json(&format);
        let needs = layout.needs();
        let values: Vec<_> = needs.request_fields.iter().map(|name| format!("{name} \"\\")).collect();
        let fields: Vec<_> = values.iter().map(|value| Some(value.as_bytes())).collect();
        let record = Record { request_fields: &fields, response_fields: &[None], ..record() };
        let line = line(&layout, &record);
        let object: serde_json::Value = serde_json::from_str(&line).expect("an object");
        for (member, expected) in [
            ("remote_addr", serde_json::json!("127.0.0.1")),
            ("remote_user", serde_json::Value::Null),
            ("method", "GET".into()),
            ("target", "/a?b=c".into()),
            ("protocol", "HTTP/1.1".into()),
            ("status", 200.into()),
            ("bytes", 12.into()),
            ("duration_us", 1_234_567.into()),
            ("referer", "referer \"\\".into()),
            ("user_agent", "user-agent \"\\".into()),
            ("pid", std::process::id().into()),
            ("request.x-a", "x-a \"\\".into()),
            ("response.x-b", serde_json::Value::Null),
            ("environ.user", serde_json::Value::Null),
        ] {
            assert_eq!(object[member], expected, "{member} of {line}");
        }
        assert_eq!(object.as_object().expect("an object").len(), 15, "{line}");
    }
}
