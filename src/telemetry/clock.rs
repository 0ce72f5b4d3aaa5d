//! The time as the logs write it. What changes once a second is written once a second.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sys::{self, LocalTime};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The time in one of the logs' forms.
#[derive(Debug)]
pub struct Clock {
    form: Form,
    second: Option<u64>,
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

impl Form {
    /// The time since 1970, as exact as this form can show it.
    pub fn now(self) -> Duration {
        match self {
            Self::Access | Self::Error => sys::coarse_time(),
            Self::Rfc3339 => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }

    /// A time in this form: what comes before parts of a second, and what comes behind.
    fn parts(self, time: LocalTime) -> (String, String) {
        let LocalTime { year, month, day, hour, minute, second, ahead } = time;
        let of_day = format!("{hour:02}:{minute:02}:{second:02}");
        let (sign, hours, minutes) = (if ahead < 0 { '-' } else { '+' }, ahead.abs() / 60, ahead.abs() % 60);
        match self {
            Self::Access => {
                let name = MONTHS[month % MONTHS.len()];
                (format!("[{day:02}/{name}/{year}:{of_day} {sign}{hours:02}{minutes:02}]"), String::new())
            }
            Self::Error => {
                let month = month + 1;
                (format!("[{year}-{month:02}-{day:02} {of_day} {sign}{hours:02}{minutes:02}]"), String::new())
            }
            Self::Rfc3339 => {
                let month = month + 1;
                (format!("{year}-{month:02}-{day:02}T{of_day}"), format!("{sign}{hours:02}:{minutes:02}"))
            }
        }
    }
}

impl Clock {
    /// A clock that writes the time in this form.
    pub fn new(form: Form) -> Self {
        Self { form, second: None, head: String::new(), tail: String::new() }
    }

    /// Appends the time that it is.
    pub fn write(&mut self, line: &mut Vec<u8>) {
        self.write_at(line, self.form.now());
    }

    /// Appends a time, which is since 1970.
    pub fn write_at(&mut self, line: &mut Vec<u8>, time: Duration) {
        if self.second != Some(time.as_secs()) {
            self.second = Some(time.as_secs());
            (self.head, self.tail) = self.form.parts(sys::local_time(time.as_secs().try_into().unwrap_or_default()));
        }
        line.extend_from_slice(self.head.as_bytes());
        if self.form == Form::Rfc3339 {
            let thousandths = time.subsec_millis();
            let digit = |number: u32| b'0' + u8::try_from(number % 10).unwrap_or_default();
            line.extend_from_slice(&[b'.', digit(thousandths / 100), digit(thousandths / 10), digit(thousandths)]);
        }
        line.extend_from_slice(self.tail.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::{Clock, Duration, Form, LocalTime};

    fn written(form: Form, nanoseconds: u64) -> String {
        let mut line = Vec::new();
        Clock::new(form).write_at(&mut line, Duration::from_nanos(nanoseconds));
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
    fn local_times_are_written_with_what_they_are_ahead_of_utc() {
        let time = LocalTime { year: 2026, month: 1, day: 3, hour: 4, minute: 5, second: 6, ahead: -210 };
        let east = LocalTime { month: 11, ahead: 330, ..time };
        for (form, time, head, tail) in [
            (Form::Access, time, "[03/Feb/2026:04:05:06 -0330]", ""),
            (Form::Access, east, "[03/Dec/2026:04:05:06 +0530]", ""),
            (Form::Error, time, "[2026-02-03 04:05:06 -0330]", ""),
            (Form::Rfc3339, east, "2026-12-03T04:05:06", "+05:30"),
            (Form::Rfc3339, LocalTime { ahead: 0, ..time }, "2026-02-03T04:05:06", "+00:00"),
        ] {
            assert_eq!(form.parts(time), (head.to_owned(), tail.to_owned()));
        }
    }

    #[test]
    fn a_new_second_is_noticed() {
        let mut clock = Clock::new(Form::Error);
        let mut line = Vec::new();
        for second in [59, 59, 60] {
            line.clear();
            clock.write_at(&mut line, Duration::from_secs(second));
        }
        assert!(line.windows(6).any(|part| part == b":01:00"), "{}", String::from_utf8_lossy(&line));
    }
}
