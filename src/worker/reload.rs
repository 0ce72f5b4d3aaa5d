//! `--reload`: a worker whose code has changed asks for a successor, as one that has answered enough requests does.
//!
//! The successor serves before the worker goes; when it cannot be loaded the worker goes on, and asks again at the next
//! change.

use std::{
    collections::BTreeMap,
    io::{self, PipeReader, PipeWriter},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use crate::{
    exit::Fatal,
    link::{Link, Report},
    python::Sources,
    settings::Settings,
    sys::{self, Changes},
};

/// How often it is looked at files, and for further ones.
const LOOK: Duration = Duration::from_secs(1);

/// The running watch. Dropped, it ends.
pub struct Reload {
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
    noticed: Arc<AtomicBool>,
}

impl Reload {
    /// Whether a file has changed.
    pub fn has_noticed(&self) -> bool {
        self.noticed.load(Ordering::Relaxed)
    }
}

impl Drop for Reload {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported already.
            let _ = thread.join();
        }
    }
}

/// Watches the files that `sources` lists.
///
/// # Errors
/// The system has no thread or descriptor to give.
pub fn start(settings: &Settings, sources: Sources, link: Arc<Link>) -> Result<Reload, Fatal> {
    let failed =
        |error: io::Error| Fatal::new(format!("Files cannot be watched (reload): {error}. Try --reload-engine poll."));
    let changes = if settings.reload_engine == "poll" { None } else { Some(Changes::new().map_err(failed)?) };
    let (stopped, stop) = io::pipe().map_err(failed)?;
    let noticed = Arc::<AtomicBool>::default();
    let mut watch = Watch { times: BTreeMap::new(), changes, noticed: Arc::clone(&noticed) };
    // What is changed from here on is noticed.
    watch.changed(&sources.files());
    let thread =
        thread::Builder::new().name("rwsgi-reload".to_owned()).spawn(move || watch.run(&sources, &stopped, &link));
    Ok(Reload { stop: Some(stop), thread: Some(thread.map_err(failed)?), noticed })
}

struct Watch {
    /// The files that were there, and when each was written to last.
    times: BTreeMap<PathBuf, SystemTime>,
    /// What wakes the watch before it is time to look.
    changes: Option<Changes>,
    noticed: Arc<AtomicBool>,
}

impl Watch {
    fn run(mut self, sources: &Sources, stopped: &PipeReader, link: &Link) {
        loop {
            let mut awaited = vec![stopped.as_fd()];
            awaited.extend(self.changes.as_ref().map(Changes::as_fd));
            sys::wait_readable(&awaited, Some(LOOK));
            if sys::wait_readable(&[stopped.as_fd()], Some(Duration::ZERO)) {
                return;
            }
            if let Some(changes) = &self.changes {
                changes.clear();
            }
            if let Some(file) = self.changed(&sources.files()) {
                tracing::info!("Worker reloading: {} modified", file.display());
                self.noticed.store(true, Ordering::Relaxed);
                link.report(Report::Retires);
            }
        }
    }

    /// A file that has been written to since it was looked at last.
    fn changed(&mut self, files: &[PathBuf]) -> Option<PathBuf> {
        let mut changed = None;
        for file in files {
            let Ok(time) = std::fs::metadata(file).and_then(|about| about.modified()) else { continue };
            if self.times.insert(file.clone(), time).is_some_and(|before| before != time) {
                changed = Some(file.clone());
            }
            if let (Some(changes), Some(directory)) = (&mut self.changes, file.parent().map(not_empty)) {
                // What cannot be watched is looked at all the same, a little later.
                let _ = changes.watch(directory);
            }
        }
        changed
    }
}

fn not_empty(directory: &Path) -> &Path {
    if directory.as_os_str().is_empty() { Path::new(".") } else { directory }
}
