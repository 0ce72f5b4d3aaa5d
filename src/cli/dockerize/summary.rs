//! What came of a build: for people, or as one JSON object.

use std::time::Duration;

use serde_json::json;

use super::super::terminal::{megabytes, seconds};
use crate::image::{Image, Request, sink::Output};

#[expect(clippy::print_stdout, reason = "this is where the program speaks to the terminal")]
pub fn print(image: &Image, request: &Request, time: Duration) {
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
    let port = image.plan.container.port;
    format!(
        "docker run --rm -p {port}:{port} --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges {}",
        image.plan.reference
    )
}

#[expect(clippy::print_stdout, reason = "this is where the program speaks to the terminal")]
pub fn print_json(image: &Image, request: &Request) {
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
        "output": request.output.as_ref().and_then(Output::path),
        "command": image.plan.container.command,
        "run": run_line(image),
    });
    println!("{result}");
}
