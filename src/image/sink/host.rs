//! Which engine is meant: what `DOCKER_HOST`, `DOCKER_CONTEXT` and the configuration of the `docker` command say.

use std::{
    env,
    path::{Path, PathBuf},
};

use bollard::{API_DEFAULT_VERSION, Docker, errors::Error};
use serde_json::Value;

use crate::{exit::Fatal, image::layer::digest};

const TIMEOUT: u64 = 120;
const SOCKET: &str = "unix:///var/run/docker.sock";

/// An engine's address, and what says so.
#[derive(Debug, Eq, PartialEq)]
pub struct Host {
    /// As a URL.
    pub address: String,
    /// The folder with `ca.pem`, `cert.pem` and `key.pem`, where the engine asks for them.
    certificates: Option<PathBuf>,
    /// For messages: "the context work", or the variable.
    origin: String,
}

impl Host {
    /// As the `docker` command finds it.
    pub fn find() -> Result<Self, Fatal> {
        Self::from(|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Fatal> {
        let settings = variable("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".docker")));
        if let Some(address) = variable("DOCKER_HOST") {
            let verified = variable("DOCKER_TLS_VERIFY").is_some() || address.starts_with("https://");
            let certificates = verified.then(|| variable("DOCKER_CERT_PATH").map(PathBuf::from).or(settings)).flatten();
            return Ok(Self { address, certificates, origin: "DOCKER_HOST".to_owned() });
        }
        let (name, origin) = match variable("DOCKER_CONTEXT") {
            Some(name) => (name, "DOCKER_CONTEXT".to_owned()),
            None => match settings.as_deref().map(current_context).transpose()?.flatten() {
                Some((name, file)) => (name, file),
                None => ("default".to_owned(), String::new()),
            },
        };
        if name == "default" {
            return Ok(Self { address: SOCKET.to_owned(), certificates: None, origin: "the default".to_owned() });
        }
        Self::of_context(&name, &origin, &settings.unwrap_or_default().join("contexts"))
    }

    fn of_context(name: &str, origin: &str, contexts: &Path) -> Result<Self, Fatal> {
        let folder = digest::of(name.as_bytes());
        let file = contexts.join("meta").join(&folder).join("meta.json");
        let bad = |why: &str| {
            Fatal::new(format!(
                "{origin} names the Docker context {name:?}, but {why}. See docker context ls, and name another one in \
                 DOCKER_CONTEXT or an engine in DOCKER_HOST."
            ))
        };
        let text = fs_err::read_to_string(&file).map_err(|_| bad(&format!("there is no {}", file.display())))?;
        let meta: Value =
            serde_json::from_str(&text).map_err(|error| bad(&format!("{} is not JSON: {error}", file.display())))?;
        let endpoint = &meta["Endpoints"]["docker"];
        let address = endpoint["Host"].as_str().filter(|address| !address.is_empty());
        let address = address.ok_or_else(|| bad(&format!("{} names no host", file.display())))?.to_owned();
        if endpoint["SkipTLSVerify"].as_bool() == Some(true) && address.starts_with("tcp://") {
            return Err(bad("it skips the verification of the engine's certificate, which rwsgi does not do"));
        }
        let certificates = Some(contexts.join("tls").join(&folder).join("docker")).filter(|folder| folder.is_dir());
        Ok(Self { address, certificates, origin: format!("the context {name}") })
    }

    /// The error for an engine that does not answer.
    pub fn silent(&self, reason: &str) -> Fatal {
        Fatal::new(format!(
            "No Docker Engine answers at {}: {}. Start Docker, name an engine in DOCKER_HOST, or write the image to a file \
             with --output.",
            self.address,
            reason.trim_end_matches('.')
        ))
    }

    /// A client for it. Nothing is sent yet.
    pub fn client(&self) -> Result<Docker, Fatal> {
        let Self { address, certificates, origin } = self;
        let refused = |why: &str| Fatal::new(format!("{origin} names the engine {address}, {why}."));
        let (scheme, _) = address
            .split_once("://")
            .ok_or_else(|| refused("which is no address: it has no unix:// or tcp:// in front. Correct it"))?;
        let failed = |error: Error| refused(&format!("which cannot be used: {error}. Correct it"));
        match scheme {
            "unix" => Docker::connect_with_unix(address, TIMEOUT, API_DEFAULT_VERSION).map_err(|error| match error {
                Error::SocketNotFoundError(_) => self.silent("there is no such socket"),
                other => failed(other),
            }),
            "tcp" | "http" | "https" => match certificates {
                Some(folder) => {
                    let file = |name: &str| {
                        Some(folder.join(name)).filter(|file| file.is_file()).ok_or_else(|| {
                            refused(&format!(
                                "which is to be reached by TLS, but {} has no {name}. Put it there, or name the folder \
                                 in DOCKER_CERT_PATH",
                                folder.display()
                            ))
                        })
                    };
                    let (key, certificate, authority) = (file("key.pem")?, file("cert.pem")?, file("ca.pem")?);
                    Docker::connect_with_ssl(address, &key, &certificate, &authority, TIMEOUT, API_DEFAULT_VERSION)
                        .map_err(failed)
                }
                None => Docker::connect_with_http(address, TIMEOUT, API_DEFAULT_VERSION).map_err(failed),
            },
            "ssh" => Err(refused(
                "which rwsgi does not reach itself. Let ssh do it: ssh -nNT -L /tmp/engine.sock:/var/run/docker.sock HOST, \
                 and DOCKER_HOST=unix:///tmp/engine.sock",
            )),
            other => {
                Err(refused(&format!("but there is no way to reach an engine by {other}://. Use unix:// or tcp://")))
            }
        }
    }
}

/// The context that the settings name, and the file that does.
fn current_context(settings: &Path) -> Result<Option<(String, String)>, Fatal> {
    let file = settings.join("config.json");
    let Ok(text) = fs_err::read_to_string(&file) else { return Ok(None) };
    let config: Value = serde_json::from_str(&text).map_err(|error| {
        Fatal::new(format!("{} is not JSON: {error}. Correct it, or name an engine in DOCKER_HOST.", file.display()))
    })?;
    let name = config["currentContext"].as_str().filter(|name| !name.is_empty());
    Ok(name.map(|name| (name.to_owned(), file.display().to_string())))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use serde_json::json;

    use super::{Host, SOCKET};
    use crate::{exit::Fatal, image::layer::digest};

    fn find(settings: &Path, variables: &[(&str, &str)]) -> Result<Host, Fatal> {
        Host::from(|name| match name {
            "DOCKER_CONFIG" => settings.to_str().map(str::to_owned),
            _ => variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()),
        })
    }

    fn settings() -> tempfile::TempDir {
        let settings = tempfile::tempdir().unwrap();
        for (name, host) in [("work", "tcp://192.0.2.1:2376"), ("remote", "ssh://me@host"), ("empty", "")] {
            let folder = settings.path().join("contexts/meta").join(digest::of(name.as_bytes()));
            fs::create_dir_all(&folder).unwrap();
            let meta = json!({ "Name": name, "Endpoints": { "docker": { "Host": host } } });
            fs::write(folder.join("meta.json"), meta.to_string()).unwrap();
        }
        let tls = settings.path().join("contexts/tls").join(digest::of(b"work")).join("docker");
        fs::create_dir_all(tls).unwrap();
        settings
    }

    fn address(settings: &Path, variables: &[(&str, &str)]) -> String {
        find(settings, variables).unwrap().address
    }

    #[test]
    fn an_engine_is_found_as_the_docker_command_finds_it() {
        let settings = settings();
        let settings = settings.path();
        assert_eq!(address(settings, &[]), SOCKET);
        fs::write(settings.join("config.json"), r#"{"currentContext": "work"}"#).unwrap();
        assert_eq!(address(settings, &[]), "tcp://192.0.2.1:2376");
        assert_eq!(address(settings, &[("DOCKER_CONTEXT", "remote")]), "ssh://me@host");
        assert_eq!(address(settings, &[("DOCKER_CONTEXT", "default")]), SOCKET);
        assert_eq!(address(settings, &[("DOCKER_HOST", "unix:///x"), ("DOCKER_CONTEXT", "work")]), "unix:///x");
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_origin() {
        let settings = settings();
        let settings = settings.path();
        let message = |variables: &[(&str, &str)]| match find(settings, variables).and_then(|host| host.client()) {
            Ok(_) => panic!("{variables:?}"),
            Err(error) => error.to_string(),
        };
        for (variables, start) in [
            (
                [("DOCKER_CONTEXT", "nonesuch")],
                "DOCKER_CONTEXT names the Docker context \"nonesuch\", but there is no /",
            ),
            ([("DOCKER_CONTEXT", "empty")], "DOCKER_CONTEXT names the Docker context \"empty\", but /"),
            ([("DOCKER_CONTEXT", "remote")], "the context remote names the engine ssh://me@host, which rwsgi does not"),
            ([("DOCKER_CONTEXT", "work")], "the context work names the engine tcp://192.0.2.1:2376, which is to be"),
            ([("DOCKER_HOST", "nonsense")], "DOCKER_HOST names the engine nonsense, which is no address"),
            ([("DOCKER_HOST", "fd://3")], "DOCKER_HOST names the engine fd://3, but there is no way"),
            ([("DOCKER_HOST", "https://192.0.2.1")], "DOCKER_HOST names the engine https://192.0.2.1, which is to be"),
        ] {
            let message = message(&variables);
            assert!(message.to_lowercase().starts_with(&start.to_lowercase()), "{message}");
        }
        fs::write(settings.join("config.json"), "{").unwrap();
        assert!(message(&[]).contains("config.json is not JSON"));
    }
}
