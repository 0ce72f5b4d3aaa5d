//! The line between a worker and its arbiter: what a worker reports, and how it notices that the arbiter is gone.
//!
//! Reports are a few bytes through a pipe that all workers share. Nothing touches a disk.

mod commands;

use std::{
    io::{self, Read as _, Write as _},
    os::fd::{AsFd, BorrowedFd},
    sync::atomic::{AtomicU32, Ordering},
};

pub use self::commands::{Birth, Command, Commander, Commands, Reason};
use crate::sys;

/// What a worker reports of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Report {
    /// It has loaded its app and accepts connections.
    Booted = 1,
    /// Its connections are looked after.
    Alive = 2,
    /// It asks for a successor: it has answered as many requests as it may, or its code has changed.
    Retires = 3,
    /// It runs, though the arbiter did not start it: a template did. Reported twice, by the worker and by what has made it:
    /// one may come late, and the other not at all.
    Started = 4,
    /// A template can start workers from now on.
    Ready = 5,
    /// `pre_exec` has done what it was called for.
    MayUpgrade = 6,
    /// `pre_exec` raised.
    MayNotUpgrade = 7,
    /// `pre_fork` raised, so there will be no worker.
    NotMade = 8,
    /// The system had no process to give to a template, so there will be no worker.
    NotForked = 9,
}

impl Report {
    const ALL: [Self; 9] = [
        Self::Booted,
        Self::Alive,
        Self::Retires,
        Self::Started,
        Self::Ready,
        Self::MayUpgrade,
        Self::MayNotUpgrade,
        Self::NotMade,
        Self::NotForked,
    ];
}

/// A report as it arrives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reported {
    /// Whose it is.
    pub pid: i32,
    /// The generation of the worker or template.
    pub generation: u64,
    /// The age that a template has made the worker with; 0 where the arbiter did.
    pub age: u64,
    /// What it says.
    pub report: Report,
}

/// A report is its number and the generation of its worker, of four bytes together, the worker's id and its age, of four
/// each. Pipes keep writes of this size in one piece.
const SIZE: usize = 12;

/// Both ends of the line, as the arbiter makes them.
#[derive(Debug)]
pub struct Line {
    reports: io::PipeReader,
    report: io::PipeWriter,
    alive: io::PipeReader,
    /// Held so that it closes when the arbiter ends, whichever way.
    _life: io::PipeWriter,
}

impl Line {
    /// Makes a line.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn new() -> io::Result<Self> {
        let (reports, report) = io::pipe()?;
        let (alive, life) = io::pipe()?;
        sys::set_nonblocking(reports.as_fd())?;
        sys::set_nonblocking(report.as_fd())?;
        Ok(Self { reports, report, alive, _life: life })
    }

    /// What becomes readable when there are reports.
    pub fn reports(&self) -> BorrowedFd<'_> {
        self.reports.as_fd()
    }

    /// Takes every report that has come.
    pub fn take(&mut self) -> Vec<Reported> {
        let mut bytes = [0; SIZE * 512];
        let mut reports = Vec::new();
        while let Ok(size) = self.reports.read(&mut bytes) {
            for message in bytes[..size].chunks_exact(SIZE) {
                let word = |at: usize| [message[at], message[at + 1], message[at + 2], message[at + 3]];
                let number = u32::from_ne_bytes(word(0));
                let is_this = |report: &Report| *report as u32 == number & 0xff;
                let Some(report) = Report::ALL.into_iter().find(is_this) else { continue };
                reports.push(Reported {
                    pid: i32::from_ne_bytes(word(4)),
                    generation: u64::from(number >> 8),
                    age: u64::from(u32::from_ne_bytes(word(8))),
                    report,
                });
            }
            if size < bytes.len() {
                break;
            }
        }
        reports
    }

    /// The worker's end, in the process of a worker, or of a template, of this generation.
    pub fn into_worker(self, generation: u64) -> Link {
        // The arbiter's ends close here: when the arbiter is gone, nobody holds the other end of `alive` any more.
        Link { report: self.report, alive: self.alive, generation: short(generation), age: AtomicU32::new(0) }
    }
}

/// The worker's end.
#[derive(Debug)]
pub struct Link {
    report: io::PipeWriter,
    alive: io::PipeReader,
    generation: u32,
    age: AtomicU32,
}

impl Link {
    /// Reports with this age from now on: the process is a worker that a template has made.
    pub fn set_age(&self, age: u64) {
        self.age.store(short(age), Ordering::Relaxed);
    }

    /// Tells the arbiter. An arbiter that is gone or far behind misses it; neither needs it.
    pub fn report(&self, report: Report) {
        self.send(report, std::process::id(), self.age.load(Ordering::Relaxed));
    }

    /// Reports [`Report::Started`] for a worker of this age.
    pub fn report_worker(&self, pid: i32, age: u64) {
        self.send(Report::Started, pid.cast_unsigned(), short(age));
    }

    fn send(&self, report: Report, pid: u32, age: u32) {
        let mut message = [0; SIZE];
        message[..4].copy_from_slice(&(report as u32 | self.generation << 8).to_ne_bytes());
        message[4..8].copy_from_slice(&pid.to_ne_bytes());
        message[8..].copy_from_slice(&age.to_ne_bytes());
        let _ = (&self.report).write(&message);
    }

    /// What becomes readable when the arbiter is gone.
    pub fn arbiter(&self) -> BorrowedFd<'_> {
        self.alive.as_fd()
    }
}

fn short(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::{Line, Link, Report, Reported};

    #[test]
    fn reports_arrive_in_order_with_their_sender() {
        let mut ours = Line::new().expect("descriptors");
        let link = Link {
            report: ours.report.try_clone().expect("descriptors"),
            alive: ours.alive.try_clone().expect("descriptors"),
            generation: 3,
            age: AtomicU32::new(0),
        };
        assert_eq!(ours.take(), []);
        link.report(Report::Booted);
        link.set_age(4);
        link.report(Report::Retires);
        let pid = i32::try_from(std::process::id()).expect("ids are small");
        let reported = |report, age| Reported { pid, generation: 3, age, report };
        assert_eq!(ours.take(), [reported(Report::Booted, 0), reported(Report::Retires, 4)]);
        for report in Report::ALL {
            link.report(report);
        }
        assert_eq!(ours.take(), Report::ALL.map(|report| reported(report, 4)));
        link.report_worker(5, 6);
        assert_eq!(ours.take(), [Reported { pid: 5, generation: 3, age: 6, report: Report::Started }]);
    }
}
