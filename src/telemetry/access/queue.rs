//! Lines on their way to a file: requests append to a buffer, and a thread writes what has gathered in it.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use super::GATHER;
use crate::{
    settings::Level,
    telemetry::{clock::Clock, output::Output, syslog::Syslog},
};

/// Lines may pile up to this many bytes while the file does not take them; then requests wait.
const LIMIT: usize = 4 << 20;

/// As soon as there are so many bytes, nothing is gained by waiting for more.
const ENOUGH: usize = 256 << 10;

/// Lines that were not written yet.
pub struct Lines {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    lines: Vec<u8>,
    clock: Clock,
    closed: bool,
    reopen: bool,
}

/// The thread that writes them.
pub struct Writer {
    lines: Arc<Lines>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Where they go.
struct Sinks {
    file: Option<Output>,
    syslog: Option<Syslog>,
    /// Whether the last batch could not be written: that is said once.
    failing: bool,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// There is none to be had.
    pub fn start(file: Option<Output>, syslog: Option<Syslog>, clock: Clock) -> io::Result<Self> {
        let state = State { lines: Vec::new(), clock, closed: false, reopen: false };
        let lines = Arc::new(Lines { state: Mutex::new(state), changed: Condvar::new() });
        let thread = std::thread::Builder::new().name("rwsgi-access".to_owned()).spawn({
            let lines = Arc::clone(&lines);
            move || lines.write_all(Sinks { file, syslog, failing: false })
        })?;
        Ok(Self { lines, thread: Mutex::new(Some(thread)) })
    }

    pub fn lines(&self) -> &Arc<Lines> {
        &self.lines
    }

    /// Writes what is left and ends. Safe to call more than once.
    pub fn close(&self) {
        self.lines.lock().closed = true;
        self.lines.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It ends as soon as the lines are written; if it panicked, there is nothing left to do.
            let _ = thread.join();
        }
    }
}

impl Lines {
    /// Appends what `write` does. Waits only while the file is far behind.
    pub fn push(&self, write: impl FnOnce(&mut Vec<u8>, &mut Clock)) {
        let mut state = self.lock();
        while state.lines.len() > LIMIT && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let before = state.lines.len();
        let State { lines, clock, .. } = &mut *state;
        write(lines, clock);
        let wake = before == 0 || (before < ENOUGH && lines.len() >= ENOUGH);
        drop(state);
        if wake {
            self.changed.notify_all();
        }
    }

    /// Has the file opened again, after what has gathered is written to the old one.
    pub fn reopen(&self) {
        self.lock().reopen = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, mut sinks: Sinks) {
        let mut batch = Vec::new();
        let mut open = true;
        while open {
            let mut state = self.lock();
            while state.lines.is_empty() && !state.closed && !state.reopen {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let more = |state: &mut State| state.lines.len() < ENOUGH && !state.closed && !state.reopen;
            (state, _) = self.changed.wait_timeout_while(state, GATHER, more).unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut batch, &mut state.lines);
            open = !state.closed;
            let reopen = std::mem::take(&mut state.reopen);
            drop(state);
            self.changed.notify_all();
            sinks.write(&batch);
            batch.clear();
            if reopen {
                sinks.reopen();
            }
        }
    }
}

impl Sinks {
    fn write(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        // A log that cannot be written must not take the service down; the next batch tries again.
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write(lines));
        if let Err(error) = &written
            && !self.failing
        {
            tracing::error!("Cannot write the access log: {error}. Its lines are lost until that works again.");
        }
        self.failing = written.is_err();
        if let Some(syslog) = &mut self.syslog {
            for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                if let Err(error) = syslog.send(Level::Info, line) {
                    tracing::warn!("Cannot send the access log to syslog: {error}. Lines are lost until that works.");
                }
            }
        }
    }

    fn reopen(&mut self) {
        if let Some(Err(error)) = self.file.as_mut().map(Output::reopen) {
            tracing::error!("Cannot open the access log again: {error}. It goes on as before.");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Clock, Output, Writer};
    use crate::telemetry::clock::Form;

    #[test]
    fn every_line_is_written_and_a_new_file_takes_over_where_the_old_one_ends() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("access.log");
        let output = Output::file(path.to_str().expect("text")).expect("a file");
        let writer = Writer::start(Some(output), None, Clock::new(Form::Access)).expect("a thread");
        let push = |writer: &Writer, count: usize| {
            let lines = Arc::clone(writer.lines());
            (0..count).for_each(|_| lines.push(|line, _| line.extend_from_slice(b"a line\n")));
        };
        push(&writer, 1000);
        let old = directory.path().join("access.log.1");
        std::fs::rename(&path, &old).expect("it can be renamed");
        writer.lines().reopen();
        while !path.exists() {
            std::thread::yield_now();
        }
        push(&writer, 10);
        writer.close();
        let count = |path| std::fs::read_to_string(path).expect("it is there").lines().count();
        assert_eq!((count(old), count(path)), (1000, 10));
    }
}
