//! How a build tells its progress on standard error: bars and a moving line on a terminal, a plain line a step elsewhere.

use std::{
    io::IsTerminal as _,
    sync::Mutex,
    time::{Duration, Instant},
};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::image::job::progress::Progress;

const MOVING: &str = "{spinner} {prefix} {wide_msg:.dim}";
const MEASURED: &str = "{spinner} {prefix} {bar:24.green/dim} {wide_msg:.dim}";

/// Tells progress on standard error: a moving line on a terminal, a plain line a step elsewhere.
pub struct Terminal {
    bar: Option<ProgressBar>,
    step: Mutex<Option<(String, Instant)>>,
}

impl Terminal {
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_style(style(MOVING));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar, step: Mutex::new(None) }
    }

    #[expect(clippy::print_stderr, reason = "this is where the program speaks to the terminal")]
    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// The line that a step leaves.
    fn ended(&self, text: &str, begun: Instant) {
        let (mark, time) = (console::style("✓").green(), console::style(seconds(begun.elapsed())).dim());
        self.line(&format!("{mark} {text} {time}"));
    }

    fn measure(&self, done: u64, total: u64, text: &str) {
        let Some(bar) = &self.bar else { return };
        if bar.length() != Some(total) || done == 0 {
            bar.set_style(style(MEASURED));
            bar.set_length(total);
        }
        bar.set_position(done);
        bar.set_message(text.to_owned());
    }

    /// On a terminal, leaves a line for the step that ended, with the time that it took.
    pub fn done(&self) {
        let Some(bar) = &self.bar else { return };
        if let Some((text, begun)) = self.step.lock().ok().and_then(|mut step| step.take()) {
            self.ended(&text, begun);
        }
        bar.set_message("");
        bar.set_prefix("");
        bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are constants that a test reads")
}

impl Progress for Terminal {
    fn step(&self, text: &str) {
        let Some(bar) = &self.bar else {
            self.line(text);
            return;
        };
        let ended = self.step.lock().ok().and_then(|mut step| step.replace((text.to_owned(), Instant::now())));
        if let Some((text, begun)) = ended {
            self.ended(&text, begun);
        }
        bar.set_style(style(MOVING));
        bar.set_message("");
        bar.set_prefix(text.to_owned());
    }

    fn note(&self, text: &str) {
        self.line(&format!("  {text}"));
    }

    fn warning(&self, text: &str) {
        self.line(&format!("{} {text}", console::style("Warning:").for_stderr().yellow()));
    }

    fn detail(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_style(style(MOVING));
            bar.set_message(text.to_owned());
        }
    }

    fn bytes(&self, done: u64, total: u64) {
        self.measure(done, total, &format!("{} of {}", megabytes(done), megabytes(total)));
    }

    fn files(&self, done: u64, total: u64) {
        self.measure(done, total, &format!("{done} of {total} files"));
    }
}

/// A time, for people.
pub fn seconds(time: Duration) -> String {
    if time >= Duration::from_secs(100) {
        HumanDuration(time).to_string()
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// A length, for people.
pub fn megabytes(bytes: u64) -> String {
    // Exact far beyond any image's size.
    #[expect(clippy::cast_precision_loss)]
    let bytes = bytes as f64;
    format!("{:.1} MB", bytes / 1e6)
}

#[cfg(test)]
mod tests {
    use super::{MEASURED, MOVING, style};

    #[test]
    fn the_templates_can_be_read() {
        style(MOVING);
        style(MEASURED);
    }
}
