//! The way to the file: requests leave records in a buffer, and a thread writes a line for each that has gathered in it.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use super::{GATHER, Layout, Record};
use crate::{
    settings::Level,
    telemetry::{clock::Clock, output::Output, syslog::Syslog},
};

/// Records may pile up to this many bytes while the file does not take their lines; then requests wait.
const LIMIT: usize = 4 << 20;

/// As soon as there are so many bytes, nothing is gained by waiting for more: what is fewer wakes the thread too often, and
/// what is more is out of the processor's caches by then.
const ENOUGH: usize = 64 << 10;

/// So many bytes of lines are written at once.
const CHUNK: usize = 64 << 10;

/// Records whose lines were not written yet.
pub struct Queue {
    state: Mutex<State>,
    /// There is something for the thread to do.
    changed: Condvar,
    /// There is room again.
    room: Condvar,
}

#[derive(Default)]
struct State {
    packed: Vec<u8>,
    closed: bool,
    reopen: bool,
    /// Whether the thread sleeps until there is a record.
    asleep: bool,
    /// How many requests wait for room.
    waiting: usize,
}

/// The thread that writes them.
pub struct Writer {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How lines are made, and where they go.
struct Lines {
    layout: Layout,
    clock: Clock,
    text: Vec<u8>,
    sinks: Sinks,
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
    pub fn start(file: Option<Output>, syslog: Option<Syslog>, layout: Layout) -> io::Result<Self> {
        let queue = Arc::new(Queue { state: Mutex::default(), changed: Condvar::new(), room: Condvar::new() });
        let clock = layout.clock();
        let mut lines = Lines { layout, clock, text: Vec::new(), sinks: Sinks { file, syslog, failing: false } };
        let thread = std::thread::Builder::new().name("rwsgi-access".to_owned()).spawn({
            let queue = Arc::clone(&queue);
            move || queue.write_all(&mut lines)
        })?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)) })
    }

    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Writes what is left and ends. Safe to call more than once.
    pub fn close(&self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_one();
        self.queue.room.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It ends as soon as the lines are written; if it panicked, there is nothing left to do.
            let _ = thread.join();
        }
    }
}

impl Queue {
    /// Leaves a record. Waits only while the file is far behind.
    pub fn push(&self, record: &Record<'_>) {
        let mut state = self.lock();
        while state.packed.len() > LIMIT && !state.closed {
            state.waiting += 1;
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        let before = state.packed.len();
        record.pack(&mut state.packed);
        let wake = std::mem::take(&mut state.asleep) || (before < ENOUGH && state.packed.len() >= ENOUGH);
        drop(state);
        if wake {
            self.changed.notify_one();
        }
    }

    /// Has the file opened again, after what has gathered is written to the old one.
    pub fn reopen(&self) {
        self.lock().reopen = true;
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something to write, and a moment more for what comes with it.
    fn gathered(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        loop {
            let more = |state: &mut State| state.packed.len() < ENOUGH && !state.closed && !state.reopen;
            (state, _) = self.changed.wait_timeout_while(state, GATHER, more).unwrap_or_else(PoisonError::into_inner);
            if !state.packed.is_empty() || state.closed || state.reopen {
                return state;
            }
            // As long as there is something each time, nobody has to say that there is.
            state.asleep = true;
            let quiet = |state: &mut State| state.asleep && !state.closed && !state.reopen;
            state = self.changed.wait_while(state, quiet).unwrap_or_else(PoisonError::into_inner);
            state.asleep = false;
        }
    }

    fn write_all(&self, lines: &mut Lines) {
        let mut batch = Vec::new();
        let mut open = true;
        while open {
            let mut state = self.gathered();
            std::mem::swap(&mut batch, &mut state.packed);
            open = !state.closed;
            let reopen = std::mem::take(&mut state.reopen);
            let is_waited = state.waiting > 0;
            drop(state);
            if is_waited {
                self.room.notify_all();
            }
            lines.write(&batch);
            batch.clear();
            // What a file that was far behind has made of it.
            batch.shrink_to(2 * ENOUGH);
            if reopen {
                lines.sinks.reopen();
            }
        }
    }
}

impl Lines {
    fn write(&mut self, mut packed: &[u8]) {
        let mut fields = Vec::new();
        while let Ok(record) = Record::unpack(&mut packed, self.layout.needs(), &mut fields) {
            self.layout.write(&mut self.text, &record, &mut self.clock);
            if self.text.len() >= CHUNK {
                self.flush();
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        self.sinks.write(&self.text);
        self.text.clear();
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
    use std::{
        io::Read as _,
        os::fd::AsRawFd as _,
        sync::Arc,
        thread::{spawn, yield_now},
        time::Duration,
    };

    use super::{ENOUGH, LIMIT, Layout, Output, Queue, Record, Writer};
    use crate::{telemetry::access::Format, wire::Version};

    fn writer(path: &str) -> Writer {
        let layout = Layout::Text(Format::parse("%(r)s").expect("valid"));
        Writer::start(Some(Output::file(path).expect("a file")), None, layout).expect("a thread")
    }

    fn push(queue: &Queue, count: usize) {
        let record = Record {
            time: Duration::ZERO,
            remote_addr: None,
            method: b"GET",
            target: &b"/long".repeat(40),
            query: b"",
            version: Version::HTTP_11,
            status: 200,
            sent: 0,
            duration: Duration::ZERO,
            request_fields: &[],
            response_fields: &[],
            variables: &[],
        };
        (0..count).for_each(|_| queue.push(&record));
    }

    /// How many lines there are, each of them whole.
    fn count(text: &str) -> usize {
        let whole = |line: &&str| line.starts_with("GET /long") && line.ends_with("/long HTTP/1.1");
        text.lines().inspect(|line| assert!(whole(line), "{line}")).count()
    }

    #[test]
    fn every_line_is_written_and_a_new_file_takes_over_where_the_old_one_ends() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("access.log");
        let writer = writer(path.to_str().expect("text"));
        push(writer.queue(), 1000);
        let old = directory.path().join("access.log.1");
        std::fs::rename(&path, &old).expect("it can be renamed");
        writer.queue().reopen();
        while !path.exists() {
            yield_now();
        }
        push(writer.queue(), 10);
        writer.close();
        let count = |path| count(&std::fs::read_to_string(path).expect("it is there"));
        assert_eq!((count(old), count(path)), (1000, 10));
    }

    #[test]
    fn who_writes_more_than_the_file_takes_waits_for_it_and_loses_nothing() {
        const COUNT: usize = 3 * LIMIT / 200;
        let (mut reader, end) = std::io::pipe().expect("the system has one to give");
        let writer = writer(&format!("/proc/self/fd/{}", end.as_raw_fd()));
        let pushing = spawn({
            let queue = Arc::clone(writer.queue());
            move || push(&queue, COUNT)
        });
        // Both at once: who waits is still counted for a moment after the thread has taken what there was.
        let held = loop {
            let state = writer.queue().lock();
            if state.waiting > 0 && state.packed.len() > LIMIT {
                break state.packed.len();
            }
            drop(state);
            yield_now();
        };
        assert!(held < LIMIT + ENOUGH, "{held}");
        let reading = spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        pushing.join().expect("all are pushed");
        writer.close();
        drop((writer, end));
        let text = reading.join().expect("it reads").expect("text");
        assert_eq!(count(&text), COUNT);
    }
}
