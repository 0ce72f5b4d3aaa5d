//! A request as a line of the access log: in a format of gunicorn's, or as a JSON object.

use std::io::Write as _;

use http::header;

use super::{
    format::{Atom, Format, Needs, Shape},
    record::Record,
};
use crate::{
    telemetry::{
        clock::{Clock, Form},
        text,
    },
    wire::Version,
};

/// How lines look.
#[derive(Clone, Debug)]
pub enum Layout {
    /// As a format says.
    Text(Format),
    /// As an object with these members, each with what stands in front of its value.
    Json(Vec<(Vec<u8>, Atom)>, Needs),
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
            let atom = &part.atom;
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
        let before = |name: String| {
            let mut text = vec![b','];
            text::json(&mut text, name.as_bytes());
            text.push(b':');
            text
        };
        Self::Json(members.into_iter().map(|(name, atom)| (before(name), atom)).collect(), needs)
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
        Clock::new(self.form())
    }

    /// The form that times have in lines.
    pub fn form(&self) -> Form {
        if matches!(self, Self::Text(_)) { Form::Access } else { Form::Rfc3339 }
    }

    /// Appends a line, newline included.
    pub fn write(&self, line: &mut Vec<u8>, record: &Record<'_>, clock: &mut Clock) {
        match self {
            Self::Text(format) => {
                for part in &format.parts {
                    part.before.write(line);
                    let start = line.len();
                    record.write(&part.atom, line, clock);
                    if let Some(shape) = part.shape {
                        fit(line, start, shape);
                    }
                }
                format.end.write(line);
            }
            Self::Json(members, _) => {
                line.extend_from_slice(b"{\"time\":\"");
                clock.write_at(line, record.time);
                line.push(b'"');
                for (before, atom) in members {
                    line.extend_from_slice(before);
                    record.write_json(atom, line);
                }
                line.extend_from_slice(b"}\n");
            }
        }
    }
}

fn fit(line: &mut Vec<u8>, start: usize, shape: Shape) {
    // What is written is UTF-8, where an address of a strange kind is not.
    let text = str::from_utf8(&line[start..]).unwrap_or_default();
    let text = shape.most.map_or(text, |most| cut(text, most.into()));
    let (end, length) = (start + text.len(), text.chars().count());
    line.truncate(end);
    let missing = usize::from(shape.width.unsigned_abs()).saturating_sub(length);
    let at = if shape.width < 0 { line.len() } else { start };
    line.splice(at..at, std::iter::repeat_n(if shape.zeros { b'0' } else { b' ' }, missing));
}

/// So many characters at most, and nothing of what begins as `\"`, `\\` or `\xNN` and does not fit: half of that could take
/// the quote behind it along.
fn cut(text: &str, most: usize) -> &str {
    let (mut end, mut left) = (0, most);
    while let Some(first) = text[end..].chars().next() {
        let escape = if text[end + first.len_utf8()..].starts_with('x') { 4 } else { 2 };
        let (bytes, characters) = if first == '\\' { (escape, escape) } else { (first.len_utf8(), 1) };
        if characters > left || text.get(end..end + bytes).is_none() {
            break;
        }
        (end, left) = (end + bytes, left - characters);
    }
    &text[..end]
}

/// One of the fields that were asked for.
fn field<'a>(fields: &[Option<&'a [u8]>], index: usize) -> Option<&'a [u8]> {
    fields.get(index).copied().flatten()
}

impl Record<'_> {
    fn write(&self, atom: &Atom, line: &mut Vec<u8>, clock: &mut Clock) {
        match atom {
            Atom::LogName | Atom::Unknown => line.push(b'-'),
            Atom::Time => clock.write_at(line, self.time),
            Atom::RemoteAddr if self.variable(0).is_none() => match self.remote_addr {
                Some(address) => line.extend_from_slice(address),
                None => line.push(b'-'),
            },
            Atom::RequestLine => {
                text::value(line, self.method);
                line.push(b' ');
                text::value(line, self.target);
                line.push(b' ');
                match self.version {
                    Version::HTTP_11 => line.extend_from_slice(b"HTTP/1.1"),
                    version => drop(write!(line, "{version}")),
                }
            }
            Atom::Decimal => {
                let (seconds, microseconds) = (self.duration.as_secs(), self.duration.subsec_micros());
                drop(write!(line, "{seconds}.{microseconds:06}"));
            }
            Atom::ProcessId => drop(write!(line, "<{}>", pid())),
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
            (Atom::ProcessId, _) => decimal(line, pid().into()),
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
            Atom::RemoteAddr => take(self.variable(0).or(self.remote_addr)),
            Atom::User(index) => {
                let credentials = field(self.request_fields, *index);
                take(credentials.and_then(user_of).as_deref());
            }
            Atom::Method => take(Some(self.method)),
            Atom::Target => take(Some(self.target)),
            Atom::Query => take(Some(self.query)),
            Atom::Protocol => take(Some(self.version.to_string().as_bytes())),
            Atom::RequestField(index) => take(field(self.request_fields, *index)),
            Atom::ResponseField(index) => take(field(self.response_fields, *index)),
            // The first variable is kept only where it was replaced.
            Atom::Variable(0) => self.with_text(&Atom::RemoteAddr, take),
            Atom::Variable(index) => take(self.variable(*index)),
            _ => take(None),
        }
    }

    fn variable(&self, index: usize) -> Option<&[u8]> {
        field(self.variables, index)
    }
}

/// This process. A thread that writes lines does not fork, so it asks once.
fn pid() -> u32 {
    thread_local!(static PID: u32 = std::process::id());
    PID.with(|pid| *pid)
}

fn decimal(line: &mut Vec<u8>, number: u64) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
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

    use super::{Format, Layout, Record, Version};

    fn record() -> Record<'static> {
        Record {
            time: Duration::from_millis(1_795_473_083_045),
            remote_addr: Some(b"127.0.0.1"),
            method: b"GET",
            target: b"/a?b=c",
            query: b"b=c",
            version: Version::HTTP_11,
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
            ("%(D)09d|%(D)09s|%(D)-9d|%(r)6.3s|%(r).0s|%(h).20s", "001234567|  1234567|1234567  |   GET||127.0.0.1\n"),
            ("%(m)s\n%(s)s", "GET\n200\n"),
        ] {
            assert_eq!(text(format, &record()), expected, "{format}");
        }
        let time = text("%(t)s", &record());
        assert!(time.starts_with('[') && time.ends_with("]\n") && time.len() == 29, "{time}");
    }

    #[test]
    fn fields_and_variables_are_those_that_were_asked_for() {
        let fields = [Some(&b"one"[..]), None, Some(&b"three"[..])];
        let variables = [None, Some(&b"/\xe9 \n"[..]), Some(b"42")];
        let record = Record { request_fields: &fields, response_fields: &fields, variables: &variables, ..record() };
        let format = "%({a}i)s %({b}i)s %({c}i)s %({a}o)s %({c}o)s %({b}o)s %(U)s %({user}e)s %({REMOTE_ADDR}e)s";
        assert_eq!(text(format, &record), "one - three one - three /\\xe9 \\x0a 42 127.0.0.1\n");
        let record = Record { request_fields: &[Some("äöü".as_bytes())], ..record };
        assert_eq!(text("%({a}i)s|%({a}i)5s|%({a}i)-4.2s|", &record), "äöü|  äöü|äö  |\n");
        let record = Record { request_fields: &[Some(b"a\"\x01b\\")], ..record };
        let format = "%({a}i)s|%({a}i).1s|%({a}i).2s|%({a}i).3s|%({a}i).6s|%({a}i).7s|%({a}i).9s|%({a}i).10s";
        let cut = [r#"a\"\x01b\\"#, "a", "a", r#"a\""#, r#"a\""#, r#"a\"\x01"#, r#"a\"\x01b"#, r#"a\"\x01b\\"#];
        assert_eq!(text(format, &record).trim_end(), cut.join("|"));
    }

    #[test]
    fn an_address_that_the_app_replaced_is_the_clients() {
        let variables = [Some(&b"192.0.2.7"[..])];
        assert_eq!(text("%(h)s", &Record { variables: &variables, ..record() }), "192.0.2.7\n");
        assert_eq!(text("%(h)s", &Record { remote_addr: None, ..record() }), "-\n");
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
