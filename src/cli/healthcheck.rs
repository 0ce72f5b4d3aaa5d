//! `rwsgi healthcheck`: asks a server whether it answers, for what looks after a container.

use std::{env, time::Duration};

use super::{options, output::say};
use crate::{
    exit::{Code, Fatal},
    health::{
        Question,
        place::{Named, Scheme},
        servers,
    },
};

/// Ask a server whether it answers: exit with 0 if it does, and with 1 if it does not, or answers with a status of 500 or above.
#[derive(clap::Args)]
pub struct Arguments {
    /// Where the server is: HOST:PORT, unix:PATH, or an http:// or https:// URL. Without it, the rwsgi that runs in the same
    /// container is asked, wherever it listens.
    #[arg(value_name = "ADDRESS")]
    address: Option<String>,
    /// What to ask for.
    #[arg(long, value_name = "PATH", default_value = "/")]
    path: String,
    /// How long the server may take to answer, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = timeout)]
    timeout: Duration,
}

pub fn run(arguments: &Arguments) -> Result<(), Fatal> {
    let named = arguments.address.as_deref().map(str::parse::<Named>).transpose()?;
    let path = match named.as_ref().and_then(|named| named.path.clone()) {
        Some(path) if arguments.path == "/" => path,
        Some(_) => {
            return Err(usage("The path is in the URL and in --path. Leave out one."));
        }
        // An app that is mounted elsewhere has nothing outside of that.
        None if named.is_none() => below(&env::var("SCRIPT_NAME").unwrap_or_default(), &arguments.path),
        None => arguments.path.clone(),
    };
    if !path.starts_with('/') || path.contains(|c: char| c.is_ascii_control() || c == ' ') {
        return Err(usage(format!("{path:?} cannot be asked for. A path begins with / and has no spaces.")));
    }
    let (place, scheme) = match named {
        Some(named) => (named.place, named.scheme),
        None => (servers::only()?, speaks_tls().then_some(Scheme::Https)),
    };
    let question = Question { place, scheme, path, timeout: arguments.timeout };
    let sign = question.ask()?;
    say(&format!(
        "Healthy: {} answers GET {} with {} after {} ms.\n",
        question.place,
        question.path,
        sign.status,
        sign.time.as_millis()
    ))
}

/// The path below what an app is mounted at.
fn below(mount: &str, path: &str) -> String {
    let mount = mount.trim_end_matches('/');
    let is_below = path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    if is_below { path.to_owned() } else { format!("{mount}{path}") }
}

/// Whether the variables of this container make the server speak TLS. Where something else does, it says so itself.
fn speaks_tls() -> bool {
    let given = options::from_variables(|name| env::var_os(name)).map_or_else(|_| Vec::new(), |(given, _)| given);
    given.iter().any(|(_, settings)| settings.contains_key("certfile"))
}

fn timeout(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(|time| !time.is_zero()).ok_or_else(|| "it is not a number of seconds above 0".to_owned())
}

fn usage(text: impl Into<String>) -> Fatal {
    Fatal::with_code(Code::Usage, text)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_path_is_below_what_the_app_is_mounted_at_and_not_twice() {
        for (mount, path, expected) in [
            ("", "/a", "/a"),
            ("/", "/a", "/a"),
            ("/shop", "/", "/shop/"),
            ("/shop/", "/a?b", "/shop/a?b"),
            ("/shop", "/shop", "/shop"),
            ("/shop", "/shop/a", "/shop/a"),
            ("/shop", "/shops", "/shop/shops"),
        ] {
            assert_eq!(super::below(mount, path), expected);
        }
    }
}
