//! The plan of an image: its layers, and what a container of it runs, as data.

use serde_json::{Value, json};

use crate::{
    exit::{Code, Fatal},
    image::{
        choices::reference::Reference,
        layer::{Layer, digest},
        oci::container::Container,
    },
};

/// What an image is to be.
#[derive(Debug)]
pub struct Plan {
    /// Its name.
    pub reference: Reference,
    /// Bottom first.
    pub layers: Vec<Layer>,
    /// What a container runs and has.
    pub container: Container,
    /// When its newest part was changed, RFC 3339.
    pub created: String,
}

impl Plan {
    /// The image config, as the OCI specification has it.
    pub fn config(&self) -> Vec<u8> {
        let history: Vec<Value> = self
            .layers
            .iter()
            .map(|layer| json!({ "created": self.created, "created_by": format!("rwsgi dockerize: {}", layer.name) }))
            .collect();
        let config = json!({
            "created": self.created,
            "architecture": architecture(),
            "os": "linux",
            "config": self.container.to_json(),
            "rootfs": {
                "type": "layers",
                "diff_ids": self.layers.iter().map(|layer| format!("sha256:{}", layer.digest)).collect::<Vec<_>>(),
            },
            "history": history,
        });
        config.to_string().into_bytes()
    }

    /// The image manifest for a `config`.
    pub fn manifest(&self, config: &[u8]) -> Vec<u8> {
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|layer| {
                json!({
                    "mediaType": "application/vnd.oci.image.layer.v1.tar",
                    "digest": format!("sha256:{}", layer.digest),
                    "size": layer.size,
                })
            })
            .collect();
        self.manifest_with(config, &layers)
    }

    /// The same with other descriptions of the layers, which may be compressed elsewhere.
    pub fn manifest_with(&self, config: &[u8], layers: &[Value]) -> Vec<u8> {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": format!("sha256:{}", digest::of(config)),
                "size": config.len(),
            },
            "layers": layers,
        });
        manifest.to_string().into_bytes()
    }
}

/// Refuses all platforms but this machine's.
pub fn check_platform(platform: &str) -> Result<(), Fatal> {
    let own = format!("linux/{}", architecture());
    if normal(platform) == own {
        return Ok(());
    }
    Err(Fatal::with_code(
        Code::Usage,
        format!(
            "The image cannot be made for {platform}: it takes along this machine's Python and libraries, which are for \
             {own}. Build it on a machine of that platform."
        ),
    ))
}

/// A platform as engines compare it (containerd's package `platforms`): of Linux unless it says another, and without the variant
/// that its architecture has anyway.
fn normal(platform: &str) -> String {
    let platform = platform.to_ascii_lowercase();
    let (os, rest) = platform.split_once('/').unwrap_or(("linux", &platform));
    let (architecture, variant) = rest.split_once('/').unwrap_or((rest, ""));
    match (named_as_in_go(architecture), variant) {
        (architecture, "") | (architecture @ "amd64", "v1") | (architecture @ "arm64", "v8" | "8") => {
            format!("{os}/{architecture}")
        }
        _ => platform,
    }
}

/// This machine's architecture.
fn architecture() -> &'static str {
    named_as_in_go(std::env::consts::ARCH)
}

/// An architecture by Go's name, where it has the kernel's.
fn named_as_in_go(architecture: &str) -> &str {
    match architecture {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{architecture, check_platform, normal};

    #[test]
    fn a_platform_has_several_names() {
        for name in [architecture(), std::env::consts::ARCH] {
            assert_eq!(check_platform(&format!("linux/{name}")), Ok(()));
            assert_eq!(check_platform(name), Ok(()));
        }
        for platform in ["linux/s390x", "windows/amd64", "linux"] {
            check_platform(platform).unwrap_err();
        }
        for (own, names) in [
            ("linux/amd64", ["amd64", "x86_64", "Linux/x86-64", "linux/amd64/v1"]),
            ("linux/arm64", ["arm64", "aarch64", "linux/aarch64", "linux/arm64/v8"]),
        ] {
            assert_eq!(names.map(normal), [own; 4]);
        }
        for other in ["linux/amd64/v3", "linux/arm64/v9", "linux/arm/v8", "windows/amd64"] {
            assert_eq!(normal(other), other);
        }
    }
}
