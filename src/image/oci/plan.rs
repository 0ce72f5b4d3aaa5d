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
    // Engines take the kernel's names too.
    if platform == own || platform == format!("linux/{}", std::env::consts::ARCH) {
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

/// This machine's architecture, by Go's names.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{architecture, check_platform};

    #[test]
    fn a_platform_has_two_names() {
        for name in [architecture(), std::env::consts::ARCH] {
            assert_eq!(check_platform(&format!("linux/{name}")), Ok(()));
        }
        for platform in ["linux/s390x", "windows/amd64", "linux"] {
            check_platform(platform).unwrap_err();
        }
    }
}
