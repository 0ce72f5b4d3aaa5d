//! The options of `rwsgi dockerize`. What they choose can stand in the project's table too.

use std::{env, path::PathBuf};

use crate::{
    exit::{Code, Fatal},
    image::choices::reference::{Invalid, Reference},
    image::choices::{self, Choices, Copy, FromVenv, HealthCheck, Said},
};

const CONTENT: &str = "What goes in";
const CONTAINER: &str = "What a container does";

/// Package a Flask (WSGI) app into a slim container image and load it into the Docker Engine.
///
/// What is chosen for the image, its name too, can stand in pyproject.toml instead, in the table `[tool.rwsgi.image]`, by the
/// names of the options: port = 8080, env = { NAME = "VALUE" }, healthcheck = false. The command line counts more.
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Arguments {
    /// The app's folder.
    #[arg(default_value = ".", value_name = "DIR")]
    pub directory: PathBuf,
    /// Name of the image, NAME[:TAG].
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: Option<String>,
    /// Write the image to a tar that `docker load` reads (`-` for standard output), or into a folder as an OCI layout, instead
    /// of loading it into the engine; none is needed then.
    #[arg(short, long, value_name = "FILE|-|oci:DIR")]
    pub output: Option<String>,
    /// What the image is to run on. Only this machine's own can be built.
    #[arg(long, value_name = "OS/ARCHITECTURE")]
    pub platform: Option<String>,
    /// Make everything anew, and keep nothing for later builds. The cache is in `RWSGI_CACHE_DIR`, or else `rwsgi` below
    /// `XDG_CACHE_HOME` or ~/.cache; `RWSGI_CACHE_SIZE` says how many MB it may hold (4096).
    #[arg(long)]
    pub no_cache: bool,
    /// Print the result as one JSON object; its list `warnings` has what was warned of.
    #[arg(long)]
    pub json: bool,
    /// Put a file or a folder from elsewhere there too. DST is absolute or below /app; a file goes into a DST that ends in /.
    #[arg(long, value_name = "SRC:DST", help_heading = CONTENT)]
    copy: Vec<String>,
    /// Let files in that would stay out: those with more than 100 MB, and those that look like secrets (.env, private keys,
    /// .netrc, service accounts). A pattern as in .dockerignore.
    #[arg(long, value_name = "PATTERN", help_heading = CONTENT)]
    include: Vec<String>,
    /// Let the app write into this folder below its own, which is made if it is not there: for `SQLite` files, uploads, and
    /// volumes that are mounted there.
    #[arg(long, value_name = "DIR", help_heading = CONTENT)]
    writable: Vec<String>,
    /// Install this group of project.optional-dependencies too.
    #[arg(long, value_name = "NAME", help_heading = CONTENT)]
    extra: Vec<String>,
    /// Take the packages of a virtual environment as they are, instead of installing them: those of the one in use
    /// (`VIRTUAL_ENV`), or of the one in DIR.
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "", help_heading = CONTENT)]
    from_venv: Option<String>,
    /// Take the Python that is installed in this folder (`DIR/bin/python3`) instead of the one that runs. It must be of the
    /// same version, or have rwsgi installed in it.
    #[arg(long, value_name = "DIR", help_heading = CONTENT)]
    python_from: Option<PathBuf>,
    /// Keep what is left out of the standard library otherwise (`test`, `lib-dynload/readline*`), and what is left out of
    /// packages (`**/tests`), by a pattern as in .dockerignore for paths within them; sources of what matches are kept too.
    #[arg(long, value_name = "PATTERN", help_heading = CONTENT)]
    keep: Vec<String>,
    /// Make an image to look into: with a shell and its tools (`BusyBox`, from this machine) and the standard library's
    /// sources.
    #[arg(long, help_heading = CONTENT)]
    debug: bool,
    /// Leave out the sources of packages. Tracebacks then name their lines without showing them, as they do of the standard
    /// library.
    #[arg(long, conflicts_with = "debug", help_heading = CONTENT)]
    slim: bool,
    /// The app, `MODULE:NAME` or `MODULE:FACTORY()`, where it is not to be looked for.
    #[arg(long, value_name = "SPEC", value_parser = choices::app, help_heading = CONTAINER)]
    app: Option<String>,
    /// The port that the app listens on in the container. [default: 5000]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..), help_heading = CONTAINER)]
    port: Option<u16>,
    /// How many worker processes serve the app; auto is one for each CPU that the container has.
    #[arg(long, value_name = "N|auto", value_parser = choices::workers, help_heading = CONTAINER)]
    workers: Option<String>,
    /// How many requests each worker handles at a time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = CONTAINER)]
    threads: Option<u32>,
    /// A variable that the container has. Everyone who has the image can read it.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable, help_heading = CONTAINER)]
    env: Vec<(String, String)>,
    /// A label, beside the OCI ones that follow from pyproject.toml and git.
    #[arg(long, value_name = "NAME=VALUE", value_parser = label, help_heading = CONTAINER)]
    label: Vec<(String, String)>,
    /// What the HEALTHCHECK asks for. [default: /]
    #[arg(long, value_name = "PATH|URL", value_parser = choices::health_check, help_heading = CONTAINER)]
    healthcheck: Option<HealthCheck>,
    /// Have no HEALTHCHECK.
    #[arg(long, conflicts_with = "healthcheck", help_heading = CONTAINER)]
    no_healthcheck: bool,
}

impl Arguments {
    /// What they choose.
    ///
    /// # Errors
    /// What cannot be chosen.
    pub fn choices(&self) -> Result<Choices, Fatal> {
        let usage = |text: String| Fatal::with_code(Code::Usage, text);
        let tag = self.tag.as_deref().map(str::parse::<Reference>).transpose();
        let here = env::current_dir()
            .map_err(|error| Fatal::new(format!("The working directory cannot be used: {error}.")))?;
        let copies = self.copy.iter().map(|text| {
            Copy::parse(text, &here)
                .map(Said::on_command_line)
                .map_err(|why| usage(format!("--copy {text} cannot be used: {why}. Correct it.")))
        });
        let keep = self.keep.iter().map(|text| {
            choices::pattern(text).map_err(|why| usage(format!("--keep {text:?} cannot be used: {why}. Correct it.")))
        });
        let writable = self.writable.iter().map(|text| {
            choices::writable(text)
                .map(Said::on_command_line)
                .map_err(|why| usage(format!("--writable {text:?} cannot be used: {why}.")))
        });
        Ok(Choices {
            tag: tag.map_err(|error: Invalid| usage(error.to_string()))?,
            app: self.app.clone(),
            port: self.port,
            workers: self.workers.clone(),
            threads: self.threads,
            environment: self.env.iter().cloned().collect(),
            labels: self.label.iter().cloned().collect(),
            copies: copies.collect::<Result<_, _>>()?,
            include: self.include.clone(),
            writable: writable.collect::<Result<_, _>>()?,
            health_check: match &self.healthcheck {
                Some(asked) => asked.clone(),
                None if self.no_healthcheck => HealthCheck::Off,
                None => HealthCheck::Usual,
            },
            extras: self.extra.iter().cloned().map(Said::on_command_line).collect(),
            from_venv: Said::on_command_line(match self.from_venv.as_deref() {
                Some("") => FromVenv::InUse,
                Some(folder) => FromVenv::Folder(here.join(folder)),
                None => FromVenv::Unsaid,
            }),
            python_from: self.python_from.as_ref().map(|folder| Said::on_command_line(here.join(folder))),
            keep: keep.collect::<Result<_, _>>()?,
            debug: self.debug,
            slim: self.slim,
        })
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    choices::pair(text).and_then(choices::variable)
}

fn label(text: &str) -> Result<(String, String), String> {
    choices::pair(text).and_then(choices::label)
}
