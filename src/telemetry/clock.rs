//! The time as the logs write it. What changes once a second is written once a second.

use jiff::{Timestamp, ZonedDateTime};

use crate::sys;

/// The time in one of the logs' forms.
#[derive(Debug)]
pub struct Clock {
    form: Form,
    second: i64,
    head: String,
    tail: String,
}

/// How the time is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// `[23/Nov/2026:22:31:23 +0000]`, the access log's.
    Access,
    /// `[2026-11-23 22:31:23 +0000]`, the error log's.
    Error,
    /// `2026-11-23T22:31:23.123+00:00` (RFC 3339).
    Rfc3339,
}

impl Clock {
    /// A clock that writes the time in this form.
    pub fn new(form: Form) -> Self {
        Self { form, second: i64::MIN, head: String::new(), tail: String::new() }
    }

    /// Appends the time.
    pub fn write(&mut self, line: &mut Vec<u8>) {
        // Only one form has room for more than seconds, which seldom change.
        if self.form != Form::Rfc3339 && u64::try_from(self.second) == Ok(sys::coarse_time().as_secs()) {
            return line.extend_from_slice(self.head.as_bytes());
        }
        self.write_at(line, Timestamp::now());
    }

    fn write_at(&mut self, line: &mut Vec<u8>, now: Timestamp) {
        if now.as_second() != self.second {
            self.second = now.as_second();
            let time = ZonedDateTime::new(now, jiff::tz::TimeZone::system());
            (self.head, self.tail) = match self.form {
                Form::Access => (time.strftime("[%d/%b/%Y:%H:%M:%S %z]").to_string(), String::new()),
                Form::Error => (time.strftime("[%Y-%m-%d %H:%M:%S %z]").to_string(), String::new()),
                Form::Rfc3339 => (time.strftime("%Y-%m-%dT%H:%M:%S").to_string(), time.strftime("%:z").to_string()),
            };
        }
        line.extend_from_slice(self.head.as_bytes());
        if self.form == Form::Rfc3339 {
            let thousandths = now.subsec_millisecond().unsigned_abs();
            let digit = |number: u32| b'0' + u8::try_from(number % 10).unwrap_or_default();
            line.extend_from_slice(&[b'.', digit(thousandths / 100), digit(thousandths / 10), digit(thousandths)]);
        }
        line.extend_from_slice(self.tail.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::{Clock, Form, Timestamp};

    fn written(form: Form, nanoseconds: i128) -> String {
        let mut line = Vec::new();
        let time = Timestamp::from_nanosecond(nanoseconds).expect("a time");
        Clock::new(form).write_at(&mut line, time);
        String::from_utf8(line).expect("text")
    }

    #[test]
    fn each_form_is_as_it_says() {
        for (form, pattern) in [
            (Form::Access, r"^\[\d\d/[A-Z][a-z][a-z]/2026:\d\d:31:23 [+-]\d{4}\]$"),
            (Form::Error, r"^\[2026-11-2\d \d\d:31:23 [+-]\d{4}\]$"),
            (Form::Rfc3339, r"^2026-11-2\dT\d\d:31:23\.045[+-]\d\d:\d\d$"),
        ] {
            let text = written(form, 1_795_473_083_045_600_000);
            assert!(Regex::new(pattern).expect("valid").is_match(&text), "{form:?}: {text}");
        }
    }

    #[test]
    fn a_new_second_is_noticed() {
        let mut clock = Clock::new(Form::Error);
        let mut line = Vec::new();
        for second in [59, 59, 60] {
            line.clear();
            clock.write_at(&mut line, Timestamp::from_second(second).expect("a time"));
        }
        assert!(line.windows(6).any(|part| part == b":01:00"), "{}", String::from_utf8_lossy(&line));
    }
}
