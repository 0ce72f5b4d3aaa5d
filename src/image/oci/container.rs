//! What a container of an image runs and has: the `config` of the image config, as the OCI specification and engines know it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::image::{
    choices::{Choices, HealthCheck, PATH},
    layer::USER,
};

/// The port where none is chosen, Flask's.
pub const PORT: u16 = 5000;
/// What every container has, unless it is chosen otherwise.
const ENVIRONMENT: [(&str, &str); 4] =
    [("PATH", PATH), ("LANG", "C.UTF-8"), ("PYTHONUNBUFFERED", "1"), ("PYTHONDONTWRITEBYTECODE", "1")];
/// In the unit that engines count time in.
const SECOND: u64 = 1_000_000_000;

/// What a container runs and has.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Container {
    /// What it runs, word by word: there is no shell to take a line apart.
    pub command: Vec<String>,
    /// The port that the app listens on.
    pub port: u16,
    /// Variables.
    pub environment: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// How an engine finds out whether it is well, if it is to.
    pub health_check: Option<Vec<String>>,
    /// The folders below the app's that it may write to.
    pub writable: Vec<PathBuf>,
}

impl Container {
    /// One that serves the app of a `spec` as chosen, from a `folder` below its own if need be.
    pub fn of(spec: &str, folder: Option<&Path>, choices: &Choices, labels: BTreeMap<String, String>) -> Self {
        let port = choices.port.unwrap_or(PORT);
        let mut environment: BTreeMap<_, _> =
            ENVIRONMENT.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        environment.extend(choices.environment.clone());
        let command = command(spec, folder, port, choices);
        let writable = choices.writable.iter().map(|folder| PathBuf::clone(folder)).collect();
        Self { command, port, environment, labels, health_check: health_check(choices), writable }
    }

    /// The same, whose Python looks for modules in `path` too, where nothing else was chosen.
    #[must_use]
    pub fn with_path(mut self, path: Option<String>) -> Self {
        if let Some(path) = path {
            self.environment.entry("PYTHONPATH".to_owned()).or_insert(path);
        }
        self
    }

    /// As it stands in the image config.
    pub fn to_json(&self) -> Value {
        let mut config = json!({
            "User": format!("{USER}:{USER}"),
            "ExposedPorts": { format!("{}/tcp", self.port): {} },
            "Env": self.environment.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
            "Cmd": self.command,
            "WorkingDir": "/app",
            "Labels": self.labels,
            "StopSignal": "SIGTERM",
        });
        let test = |words: &[String]| [&["CMD".to_owned()], words].concat();
        config["Healthcheck"] = match &self.health_check {
            Some(command) => json!({
                "Test": test(command),
                "Interval": 10 * SECOND,
                // Longer than what the command itself allows, which then says what was wrong.
                "Timeout": 10 * SECOND,
                "StartPeriod": 30 * SECOND,
                // Engines before 25 wait for the interval instead.
                "StartInterval": SECOND,
                "Retries": 3,
            }),
            None => json!({ "Test": ["NONE"] }),
        };
        config
    }
}

fn command(spec: &str, folder: Option<&Path>, port: u16, choices: &Choices) -> Vec<String> {
    let mut command = vec!["rwsgi".to_owned(), spec.to_owned(), "--bind".to_owned(), format!("0.0.0.0:{port}")];
    let mut add = |option: &str, value: Option<String>| {
        if let Some(value) = value {
            command.extend([option.to_owned(), value]);
        }
    };
    add("--workers", choices.workers.clone());
    add("--threads", choices.threads.map(|threads| threads.to_string()));
    add("--chdir", folder.map(|folder| format!("/app/{}", folder.display())));
    command
}

fn health_check(choices: &Choices) -> Option<Vec<String>> {
    let words: &[&str] = match &choices.health_check {
        HealthCheck::Off => return None,
        HealthCheck::Usual => &[],
        HealthCheck::At(path) if path.starts_with('/') => &["--path", path],
        HealthCheck::At(url) => &[url],
    };
    Some(["rwsgi", "healthcheck"].iter().chain(words).map(|word| (*word).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::Container;
    use crate::image::choices::{Choices, HealthCheck};

    #[test]
    fn choices_are_in_the_command_the_variables_and_the_check() {
        let serve = |choices: &Choices| {
            Container::of("app:app", Some("src".as_ref()), choices, [("a".into(), "b".into())].into())
        };
        let choices = Choices {
            port: Some(80),
            workers: Some("auto".to_owned()),
            threads: Some(4),
            environment: [("LANG".to_owned(), "de_DE.UTF-8".to_owned())].into(),
            health_check: HealthCheck::At("/healthz".to_owned()),
            ..Choices::default()
        };
        let path = |choices| serve(choices).with_path(Some("/app/src".to_owned())).environment.remove("PYTHONPATH");
        assert_eq!(path(&choices).as_deref(), Some("/app/src"));
        let own = Choices { environment: [("PYTHONPATH".to_owned(), "/x".to_owned())].into(), ..choices.clone() };
        assert_eq!(path(&own).as_deref(), Some("/x"));
        let config = serve(&choices).to_json();
        let words = "rwsgi app:app --bind 0.0.0.0:80 --workers auto --threads 4 --chdir /app/src";
        assert_eq!(config["Cmd"], serde_json::json!(words.split(' ').collect::<Vec<_>>()));
        assert_eq!(config["Env"][0], "LANG=de_DE.UTF-8");
        assert_eq!(config["Env"].as_array().map(Vec::len), Some(4));
        assert_eq!(config["Labels"]["a"], "b");
        assert_eq!(config["Healthcheck"]["Test"].to_string(), r#"["CMD","rwsgi","healthcheck","--path","/healthz"]"#);
        let choices = Choices { health_check: HealthCheck::Off, ..choices };
        let config = serve(&choices).to_json();
        assert_eq!(config["Healthcheck"]["Test"].to_string(), r#"["NONE"]"#);
    }
}
