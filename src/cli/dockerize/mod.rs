//! `rwsgi dockerize`: packages an app folder into a container image.

mod arguments;
mod programs;
mod summary;

use std::{ffi::OsString, time::Instant};

use clap::{Args as _, FromArgMatches as _};

use self::arguments::Arguments;
pub use self::programs::become_packager;
use tokio::signal::unix::{SignalKind, signal};

use super::{output::say, terminal::Terminal};
use crate::{
    exit::{Code, Fatal},
    image::{
        self, Request,
        job::{progress::Cancel, recording::Recording},
        oci::plan,
        sink::Output,
    },
};

/// What it does, in the list of commands.
pub const ABOUT: &str = "Package a Flask (WSGI) app into a slim container image and load it into the Docker Engine";

/// Reads the command line, whose first word is the program's name.
///
/// # Errors
/// What cannot be asked for; or the help, where that is.
pub fn arguments(args: Vec<OsString>) -> Result<Arguments, clap::Error> {
    let command = clap::Command::new("rwsgi-dockerize").bin_name("rwsgi dockerize");
    let matches = Arguments::augment_args(command).try_get_matches_from(args)?;
    Arguments::from_arg_matches(&matches)
}

/// Makes the image and says what came of it.
///
/// # Errors
/// What keeps it from being made.
pub fn run(arguments: &Arguments) -> Result<(), Fatal> {
    if let Some(platform) = &arguments.platform {
        plan::check_platform(platform)?;
    }
    let output = arguments.output.as_deref().map(Output::of);
    if arguments.json && output == Some(Output::Standard) {
        return Err(Fatal::with_code(
            Code::Usage,
            "Standard output is for the image (--output -) or for the result (--json), not for both. Leave out one.",
        ));
    }
    let request = Request {
        program: programs::server()?,
        folder: arguments.directory.clone(),
        choices: arguments.choices()?,
        output,
        cache: !arguments.no_cache,
    };
    let begun = Instant::now();
    let cancel = Cancel::default();
    cancel_on_signal(cancel.clone())?;
    let terminal = Terminal::new();
    let told = Recording::new(&terminal);
    let image = image::dockerize(&request, &told, &cancel);
    terminal.done();
    let image = image?;
    if request.output == Some(Output::Standard) {
        return Ok(());
    }
    say(&if arguments.json {
        summary::json(&image, &request, &told.warnings())
    } else {
        summary::text(&image, &request, begun.elapsed())
    })
}

/// SIGINT and SIGTERM ask the build to stop and clean up behind itself; a second one does not wait for that.
fn cancel_on_signal(cancel: Cancel) -> Result<(), Fatal> {
    let failed = |error: std::io::Error| Fatal::new(format!("Cannot listen for signals: {error}."));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
    let (mut interrupt, mut terminate) = {
        let _guard = runtime.enter();
        (signal(SignalKind::interrupt()).map_err(failed)?, signal(SignalKind::terminate()).map_err(failed)?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                let (one, other) = (std::pin::pin!(interrupt.recv()), std::pin::pin!(terminate.recv()));
                futures_util::future::select(one, other).await;
                if cancel.is_cancelled() {
                    std::process::exit(Code::Interrupted as i32);
                }
                cancel.cancel();
            }
        });
    });
    Ok(())
}
