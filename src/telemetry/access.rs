//! The access log: one line a request, formatted as gunicorn's default and written in batches by a thread of its own.

use std::{
    fmt::Write as _,
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use jiff::ZonedDateTime;

/// Lines may pile up to this many bytes while the file does not take them; then requests wait.
const BUFFER_LIMIT: usize = 4 << 20;

/// What a line says of a request and its answer. Texts are as they came, in bytes.
#[derive(Clone, Debug, Default)]
pub struct Record<'a> {
    /// The client's address; empty for a unix socket.
    pub remote_addr: &'a str,
    /// The value of the `Authorization` field.
    pub authorization: Option<&'a [u8]>,
    /// The request's method.
    pub method: &'a str,
    /// The request's target as it came.
    pub target: &'a [u8],
    /// `HTTP/1.1`, say.
    pub protocol: &'a str,
    /// The answer's status.
    pub status: u16,
    /// Bytes of the answer's body.
    pub sent: u64,
    /// The value of the `Referer` field.
    pub referer: Option<&'a [u8]>,
    /// The value of the `User-Agent` field.
    pub user_agent: Option<&'a [u8]>,
}

/// Formats a line as `%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"`, gunicorn's default.
pub fn format(record: &Record<'_>, time: &ZonedDateTime) -> String {
    let mut line = String::with_capacity(160);
    line.push_str(if record.remote_addr.is_empty() { "-" } else { record.remote_addr });
    line.push_str(" - ");
    match record.authorization.and_then(user) {
        Some(user) => escape(&mut line, &user),
        None => line.push('-'),
    }
    let _ = write!(line, " [{}] \"{} ", time.strftime("%d/%b/%Y:%H:%M:%S %z"), record.method);
    escape(&mut line, record.target);
    let _ = write!(line, " {}\" {} ", record.protocol, record.status);
    match record.sent {
        0 => line.push('-'),
        sent => drop(write!(line, "{sent}")),
    }
    for field in [record.referer, record.user_agent] {
        line.push_str(" \"");
        escape(&mut line, field.unwrap_or(b"-"));
        line.push('"');
    }
    line.push('\n');
    line
}

/// The user of a `Basic` credential (RFC 7617).
fn user(authorization: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(authorization).ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| base64(encoded.trim()))??;
    let end = decoded.iter().position(|byte| *byte == b':')?;
    (end > 0).then(|| decoded[..end].to_vec())
}

fn base64(text: &str) -> Option<Vec<u8>> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.decode(text).ok()
}

/// Appends bytes so that nothing in them ends the line or the quotes: `"` as gunicorn does, other odd bytes as `\xNN`.
fn escape(line: &mut String, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'"' => line.push_str("\\\""),
            b'\\' => line.push_str("\\\\"),
            0x20..=0x7e => line.push(char::from(*byte)),
            _ => drop(write!(line, "\\x{byte:02x}")),
        }
    }
}

/// An access log that is being written.
pub struct AccessLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    closed: bool,
}

impl AccessLog {
    /// Opens the log: `-` is standard output, anything else a file to append to.
    ///
    /// # Errors
    /// The file cannot be opened, or no thread can be started.
    pub fn open(target: &str) -> io::Result<Self> {
        let output: Box<dyn Write + Send> = if target == "-" {
            Box::new(io::stdout())
        } else {
            Box::new(fs_err::OpenOptions::new().create(true).append(true).open(target)?)
        };
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let writer = std::thread::Builder::new().name("rwsgi-access".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.write_all(output)
        })?;
        Ok(Self { shared, writer: Mutex::new(Some(writer)) })
    }

    /// Writes a line, which ends in a newline. Waits only while the file is far behind.
    pub fn write(&self, line: &str) {
        let mut state = self.shared.lock();
        while state.lines.len() > BUFFER_LIMIT && !state.closed {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let idle = state.lines.is_empty();
        state.lines.extend_from_slice(line.as_bytes());
        drop(state);
        // The writer looks for more before it waits, so that a busy log costs no wake-up a line.
        if idle {
            self.shared.changed.notify_all();
        }
    }

    /// Writes what is left and ends. Safe to call more than once.
    pub fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // It ends as soon as the lines are written; if it panicked, there is nothing left to do.
            let _ = writer.join();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, mut output: Box<dyn Write + Send>) {
        let mut batch = Vec::new();
        loop {
            let mut state = self.lock();
            while state.lines.is_empty() {
                if state.closed {
                    return;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut batch, &mut state.lines);
            drop(state);
            self.changed.notify_all();
            // A log that cannot be written must not take the service down; the next batch tries again.
            if let Err(error) = output.write_all(&batch).and_then(|()| output.flush()) {
                tracing::warn!("Cannot write the access log: {error}.");
            }
            batch.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Record, format};

    fn line(record: &Record<'_>) -> String {
        let time = jiff::civil::date(2026, 11, 3)
            .at(4, 5, 6, 0)
            .to_zoned_datetime(jiff::tz::TimeZone::UTC)
            .expect("a valid time");
        format(record, &time)
    }

    fn record() -> Record<'static> {
        Record {
            remote_addr: "127.0.0.1",
            method: "GET",
            target: b"/a?b=c",
            protocol: "HTTP/1.1",
            status: 200,
            sent: 12,
            ..Record::default()
        }
    }

    #[test]
    fn the_default_format_is_gunicorns() {
        assert_eq!(
            line(&record()),
            "127.0.0.1 - - [03/Nov/2026:04:05:06 +0000] \"GET /a?b=c HTTP/1.1\" 200 12 \"-\" \"-\"\n"
        );
    }

    #[test]
    fn the_user_of_basic_authentication_is_named() {
        // dXNlcjpwYXNz is user:pass
        let line = line(&Record { authorization: Some(b"Basic dXNlcjpwYXNz"), ..record() });
        assert!(line.starts_with("127.0.0.1 - user [") && !line.contains("pass"), "{line}");
    }

    #[test]
    fn no_byte_from_a_client_ends_the_line_or_the_quotes() {
        let line = line(&Record { user_agent: Some(b"a\"b\r\n\x1b[31m\xff\\"), sent: 0, ..record() });
        assert!(line.ends_with("200 - \"-\" \"a\\\"b\\x0d\\x0a\\x1b[31m\\xff\\\\\"\n"), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
    }
}
