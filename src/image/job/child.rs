//! Runs another program to its end: its output is collected, and a build that is told to stop does not wait for it.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write as _},
    os::unix::process::CommandExt as _,
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{exit::Fatal, image::job::progress::Cancel, sys};

/// How often a running program is looked at while it says nothing.
const PATIENCE: Duration = Duration::from_millis(30);

/// How long programs that were ended may take to be gone.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a program left behind.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs `command` with `input`, handing each line of its standard output to `line` as it comes.
///
/// # Errors
/// The program cannot be started (`what` names it), or the build was told to stop.
pub fn run(
    command: &mut Command,
    what: &str,
    input: Vec<u8>,
    cancel: &Cancel,
    mut line: impl FnMut(&str),
) -> Result<Output, Fatal> {
    let failed = |error: io::Error| Fatal::new(format!("Cannot run {what}: {error}."));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let (mut stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // A program that ends before it has read its input says why in its own words.
    thread::spawn(move || stdin.as_mut().map(|stdin| stdin.write_all(&input)));
    let stderr = thread::spawn(move || stderr.map(collect).unwrap_or_default());
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let Some(stdout) = stdout else { return };
        for text in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&text).into_owned()).is_err() {
                return;
            }
        }
    });
    let mut stdout = String::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(text) => {
                line(&text);
                stdout.push_str(&text);
                stdout.push('\n');
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if let Err(interrupted) = cancel.check() {
            // Not the child alone: what it started would go on writing into folders that are about to be removed. When the
            // last of them is gone, nobody holds the other end of its output any more.
            sys::kill_group(child.id());
            while lines.recv_timeout(FAREWELL).is_ok() {}
            // It is reaped; how it ended is known.
            let _ = child.wait();
            return Err(interrupted);
        }
    }
    let status = child.wait().map_err(failed)?;
    Ok(Output { status, stdout, stderr: stderr.join().unwrap_or_default() })
}

fn collect(mut from: impl Read) -> String {
    let mut bytes = Vec::new();
    // What came before the error is what there is.
    let _ = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
