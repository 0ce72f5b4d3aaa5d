//! When an image was made, which the time of a build or of a file would make another one of the same sources.

use std::time::{Duration, SystemTime};

use crate::{exit::Fatal, image::project::git::Commit};

/// `SOURCE_DATE_EPOCH`, or the time of the commit that is checked out, or the beginning of 1970; as RFC 3339 has it.
///
/// # Errors
/// The variable is not a time.
pub fn created(commit: Option<&Commit>) -> Result<String, Fatal> {
    let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().map_err(|_| {
            Fatal::new(format!("SOURCE_DATE_EPOCH is {text:?}, which is not a number of seconds. Correct or unset it."))
        })?,
        Err(_) => commit.map_or(0, |commit| commit.time),
    };
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    let time = time.and_then(|time| jiff::Timestamp::try_from(time).ok()).ok_or_else(|| {
        Fatal::new(format!("SOURCE_DATE_EPOCH is {seconds}, which is beyond all calendars. Correct or unset it."))
    })?;
    Ok(time.to_string())
}
