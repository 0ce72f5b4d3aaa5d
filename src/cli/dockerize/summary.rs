//! What came of a build: for people, or as one JSON object.

use std::{path::Path, time::Duration};

use serde_json::json;

use super::super::terminal::{megabytes, seconds};
use crate::image::{Image, Request, sink::Output};

/// For people.
pub fn text(image: &Image, request: &Request, time: Duration) -> String {
    let plan = &image.plan;
    let mut text = String::from("\n");
    let line = |name: &str, unpacked: u64, compressed: Option<u64>, from: &str| {
        let compressed = compressed.map_or(String::new(), |size| format!("{:>10} compressed", megabytes(size)));
        format!("  {name:<14}{:>10}{compressed}  {from}", megabytes(unpacked)).trim_end().to_owned() + "\n"
    };
    for (index, layer) in plan.layers.iter().enumerate() {
        let from = if layer.cached { "from the cache" } else { "" };
        text += &line(layer.name, layer.unpacked, image.compressed.get(index).copied(), from);
    }
    let total = plan.layers.iter().map(|layer| layer.unpacked).sum();
    let compressed = (!image.compressed.is_empty()).then(|| image.compressed.iter().sum());
    text += &line("in all", total, compressed, "");
    let place = match &request.output {
        Some(Output::Archive(path) | Output::Layout(path)) => format!(" in {}", path.display()),
        _ => String::new(),
    };
    let ready = format!("{} is ready{place} after {} ({}). Run it:", plan.reference, seconds(time), image.id);
    let load = match &request.output {
        Some(Output::Archive(path)) => format!("  docker load -i {}\n", path.display()),
        Some(Output::Layout(path)) => {
            format!("  skopeo copy oci:{}:{} docker-daemon:{}\n", path.display(), plan.reference.tag(), plan.reference)
        }
        _ => String::new(),
    };
    format!("{text}\n{ready}\n\n{load}  {}\n", run_line(image))
}

/// The command to paste: as little in the container as the app needs.
fn run_line(image: &Image) -> String {
    let container = &image.plan.container;
    let port = container.port;
    let volumes = container.writable.iter().map(|folder| volume(&image.plan.reference.to_string(), folder));
    format!(
        "docker run --rm -p {port}:{port} --read-only --tmpfs /tmp {}--cap-drop ALL --security-opt no-new-privileges {}",
        volumes.collect::<String>(),
        image.plan.reference
    )
}

/// The option for a volume that keeps what the app writes into `folder`.
fn volume(reference: &str, folder: &Path) -> String {
    let name = reference.rsplit('/').next().and_then(|name| name.split(':').next()).unwrap_or_default();
    let shown = folder.display().to_string();
    let volume = format!("{name}-{shown}").replace(|c: char| !c.is_ascii_alphanumeric() && !"_.-".contains(c), "-");
    let option = format!("{volume}:/app/{shown}");
    format!("-v {} ", shlex::try_quote(&option).unwrap_or_default())
}

/// For scripts, with what was warned of.
pub fn json(image: &Image, request: &Request, warnings: &[String]) -> String {
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
        "left_out": image.left_out.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
        "warnings": warnings,
        "output": request.output.as_ref().and_then(Output::path),
        "command": image.plan.container.command,
        "run": run_line(image),
    });
    format!("{result}\n")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::volume;

    #[test]
    fn a_volume_is_called_after_the_image_and_the_folder() {
        for (reference, folder, option) in [
            ("shop:1.0", "instance", "-v shop-instance:/app/instance "),
            ("example.org:5000/me/shop:1.0", "var/data", "-v shop-var-data:/app/var/data "),
            ("shop:latest", "my data", "-v 'shop-my-data:/app/my data' "),
        ] {
            assert_eq!(volume(reference, Path::new(folder)), option);
        }
    }
}
