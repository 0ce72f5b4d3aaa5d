//! What the system says of a process.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    process::Child,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::server::LIMIT;

/// Memory that the process has resident, in KiB.
pub fn resident_kib(pid: u32) -> u64 {
    kib(pid, "VmRSS:")
}

/// The most that it ever had resident, in KiB.
pub fn most_resident_kib(pid: u32) -> u64 {
    kib(pid, "VmHWM:")
}

fn kib(pid: u32, name: &str) -> u64 {
    field(pid, name).split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number of kB")
}

/// What the kernel has added up of the process's memory under this name (`smaps_rollup`), in KiB.
pub fn memory_kib(pid: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the process runs");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the field is there");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number of kB")
}

/// The number of threads that the process has.
pub fn threads(pid: u32) -> u64 {
    field(pid, "Threads:").parse().expect("a number")
}

/// The number of descriptors that the process has open.
pub fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs").count()
}

/// How many files a process has open that are in no directory.
pub fn files_without_names(pid: u32) -> usize {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the process lives");
    let targets = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.starts_with("/tmp") && target.to_string_lossy().ends_with(" (deleted)")).count()
}

/// A field of the process's status, `Uid:` say.
pub fn field(pid: u32, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with(name)).expect("the field is there");
    line[name.len()..].trim().to_owned()
}

/// The only child of a process.
pub fn child(pid: u32) -> u32 {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let found = until(|| std::fs::read_to_string(&path).ok()?.trim().parse().ok());
    found.expect("it has one child")
}

/// The children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// Whether a process runs. One that has ended and was not waited for does not.
pub fn is_alive(pid: u32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Ends a process that is not a child of the test's, when it goes out of scope.
pub struct Guard(pub u32);

impl Drop for Guard {
    fn drop(&mut self) {
        if is_alive(self.0) {
            signal(self.0, "KILL");
        }
    }
}

/// Sends a signal to a process by its own id.
pub fn signal(pid: u32, signal: &str) {
    let number: Signal = format!("SIG{signal}").parse().expect("a signal's name");
    let pid = Pid::from_raw(pid.try_into().expect("an id"));
    kill(pid, number).unwrap_or_else(|error| panic!("{signal} does not reach {pid}: {error}"));
}

/// The processes that were started with this variable in their environment.
pub fn started_with(name: &str, value: impl AsRef<OsStr>) -> Vec<u32> {
    let variable = [name.as_bytes(), b"=", value.as_ref().as_bytes()].concat();
    let processes = std::fs::read_dir("/proc").expect("it is there").filter_map(Result::ok);
    let ids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    let has_it = |id: &u32| {
        let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|text| text == variable)
    };
    ids.filter(has_it).collect()
}

/// Waits for a process to end, but not for ever. `None` when it still runs then.
pub fn wait(child: &mut Child) -> Option<std::process::ExitStatus> {
    until(|| child.try_wait().expect("the child is ours"))
}

/// Whether this comes to hold, if not at once.
pub fn holds(mut condition: impl FnMut() -> bool) -> bool {
    until(|| condition().then_some(())).is_some()
}

/// Asks again and again until there is an answer or the time is over.
pub fn until<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
