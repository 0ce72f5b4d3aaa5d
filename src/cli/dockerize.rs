//! `rwsgi dockerize`: packages an app folder into a container image.

use std::path::PathBuf;

use crate::exit::Fatal;

/// Package a Flask (WSGI) app into a slim container image and load it into the Docker Engine.
#[derive(clap::Args)]
pub struct Arguments {
    /// The app's folder.
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// Name of the image, NAME[:TAG].
    #[arg(short, long)]
    tag: String,
}

pub fn run(arguments: &Arguments) -> Result<(), Fatal> {
    let _ = (&arguments.directory, &arguments.tag);
    Err(Fatal::new("not built yet"))
}
