//! `rwsgi dockerize`: packages an app folder into a container image.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::terminal::{Terminal, megabytes, seconds};
use crate::{
    exit::{Code, Fatal},
    image::{
        self, Image, Request,
        extras::Extras,
        plan,
        progress::Cancel,
        reference::{Invalid, Reference},
        sink::Output,
    },
};

/// Package a Flask (WSGI) app into a slim container image and load it into the Docker Engine.
#[derive(clap::Args)]
pub struct Arguments {
    /// The app's folder.
    #[arg(default_value = ".", value_name = "DIR")]
    directory: PathBuf,
    /// Name of the image, NAME[:TAG].
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: String,
    /// The app, `MODULE:NAME` or `MODULE:FACTORY()`, where it is not to be looked for.
    #[arg(long, value_name = "SPEC")]
    app: Option<String>,
    /// The port that the app listens on in the container.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Write the image to a tar that `docker load` reads (`-` for standard output), or into a folder as an OCI layout, instead
    /// of loading it into the engine; none is needed then.
    #[arg(short, long, value_name = "FILE|-|oci:DIR")]
    output: Option<String>,
    /// What the image is to run on. Only this machine's own can be built.
    #[arg(long, value_name = "OS/ARCHITECTURE")]
    platform: Option<String>,
    /// Take the Python that is installed in this folder (`DIR/bin/python3`) instead of the one that runs. It must be of the
    /// same version, or have rwsgi installed in it.
    #[arg(long, value_name = "DIR")]
    python_from: Option<PathBuf>,
    /// Make an image to look into: with a shell and its tools (`BusyBox`, from this machine) and the standard library's sources.
    #[arg(long)]
    debug: bool,
    /// Keep what is left out of the standard library otherwise (`test`, `lib-dynload/readline*`), and what is left out of
    /// packages (`**/tests`), by a pattern as in .dockerignore for paths within them; sources of what matches are kept too. May
    /// be given more than once.
    #[arg(long, value_name = "PATTERN")]
    keep: Vec<String>,
    /// Make everything anew, and keep nothing for later builds. The cache is in `RWSGI_CACHE_DIR`, or else `rwsgi` below
    /// `XDG_CACHE_HOME` or ~/.cache; `RWSGI_CACHE_SIZE` says how many MB it may hold (4096).
    #[arg(long)]
    no_cache: bool,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Fatal> {
    let reference: Reference =
        arguments.tag.parse().map_err(|error: Invalid| Fatal::with_code(Code::Usage, error.to_string()))?;
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
    let extras = Extras::new(&arguments.keep, arguments.debug)?;
    let request = Request {
        folder: arguments.directory.clone(),
        reference,
        app: arguments.app.clone(),
        port: arguments.port,
        python_from: arguments.python_from.clone(),
        extras,
        output,
        cache: !arguments.no_cache,
    };
    let begun = Instant::now();
    let cancel = Cancel::default();
    cancel_on_signal(cancel.clone())?;
    let terminal = Terminal::new();
    let image = image::dockerize(&request, &terminal, &cancel);
    terminal.done();
    let image = image?;
    if request.output == Some(Output::Standard) {
        return Ok(());
    }
    if arguments.json {
        print_json(&image, &request);
    } else {
        print_summary(&image, &request, begun.elapsed());
    }
    Ok(())
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

#[expect(clippy::print_stdout, reason = "this is where the program speaks to the terminal")]
fn print_summary(image: &Image, request: &Request, time: Duration) {
    let plan = &image.plan;
    let line = |name: &str, unpacked: u64, compressed: Option<u64>, from: &str| {
        let compressed = compressed.map_or(String::new(), |size| format!("{:>10} compressed", megabytes(size)));
        println!("{}", format!("  {name:<14}{:>10}{compressed}  {from}", megabytes(unpacked)).trim_end());
    };
    println!();
    for (index, layer) in plan.layers.iter().enumerate() {
        let from = if layer.cached { "from the cache" } else { "" };
        line(layer.name, layer.unpacked, image.compressed.get(index).copied(), from);
    }
    let total = plan.layers.iter().map(|layer| layer.unpacked).sum();
    let compressed = (!image.compressed.is_empty()).then(|| image.compressed.iter().sum());
    line("in all", total, compressed, "");
    println!();
    let place = match &request.output {
        Some(Output::Archive(path) | Output::Layout(path)) => format!(" in {}", path.display()),
        _ => String::new(),
    };
    println!("{} is ready{place} after {} ({}). Run it:", plan.reference, seconds(time), image.id);
    println!();
    match &request.output {
        Some(Output::Archive(path)) => println!("  docker load -i {}", path.display()),
        Some(Output::Layout(path)) => {
            println!("  skopeo copy oci:{}:{} docker-daemon:{}", path.display(), plan.reference.tag(), plan.reference);
        }
        _ => {}
    }
    println!("  {}", run_line(image));
}

/// The command to paste: as little in the container as the app needs.
fn run_line(image: &Image) -> String {
    let port = image.plan.port;
    format!(
        "docker run --rm -p {port}:{port} --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges {}",
        image.plan.reference
    )
}

#[expect(clippy::print_stdout, reason = "this is where the program speaks to the terminal")]
fn print_json(image: &Image, request: &Request) {
    let layers: Vec<_> = image
        .plan
        .layers
        .iter()
        .enumerate()
        .map(|(index, layer)| {
            json!({
                "name": layer.name,
                "digest": format!("sha256:{}", layer.digest),
                "size": layer.size,
                "unpacked": layer.unpacked,
                "compressed": image.compressed.get(index),
                "cached": layer.cached,
            })
        })
        .collect();
    let result = json!({
        "name": image.plan.reference.to_string(),
        "id": image.id,
        "layers": layers,
        "output": request.output.as_ref().and_then(Output::path),
        "command": image.plan.command,
        "run": run_line(image),
    });
    println!("{result}");
}
