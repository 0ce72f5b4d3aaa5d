//! Where the server listens, and how that follows the settings.

use crate::{
    arbiter::upgrade::Inherited,
    exit::Fatal,
    net::{Bind, Listener, Options, systemd},
    settings::Settings,
};

/// Takes the listeners from the arbiter before, or from systemd, or opens those that the settings name.
pub fn listeners(settings: &Settings, inherited: Option<&Inherited>) -> Result<Vec<Listener>, Fatal> {
    let descriptors = inherited.map_or_else(systemd::descriptors, |inherited| inherited.listeners.clone());
    if descriptors.is_empty() {
        let mut listeners = Vec::new();
        open_missing(settings, &mut listeners)?;
        return Ok(listeners);
    }
    // A predecessor has passed what the settings name, in their order, unless systemd had passed it that.
    let known = inherited.is_some() && descriptors.len() == settings.bind.len();
    let adopt = |(at, number): (usize, i32)| {
        let name = settings.bind.get(at).filter(|_| known);
        Listener::adopt(number, inherited.is_some(), name.map(String::as_str)).map_err(|error| {
            Fatal::new(format!("The socket that was passed as descriptor {number} cannot be used: {error}."))
        })
    };
    descriptors.into_iter().enumerate().map(adopt).collect()
}

/// Opens what the settings name and is not open. When that fails nothing has changed.
pub fn open_missing(settings: &Settings, listeners: &mut Vec<Listener>) -> Result<(), Fatal> {
    // Sockets that systemd has passed stay what they are, whatever the settings name.
    if listeners.iter().any(|listener| listener.name().is_none()) {
        return Ok(());
    }
    let missing = settings.bind.iter().filter(|bind| listeners.iter().all(|listener| listener.name() != Some(bind)));
    let opened = missing.map(|bind| open(bind, settings)).collect::<Result<Vec<_>, Fatal>>()?;
    listeners.extend(opened.into_iter().flatten());
    Ok(())
}

/// Closes what the settings do not name. What they name comes in their order.
pub fn close_others(settings: &Settings, listeners: &mut Vec<Listener>) {
    let place = |listener: &Listener| match listener.name() {
        Some(name) => settings.bind.iter().position(|bind| bind == name),
        None => Some(0),
    };
    listeners.retain(|listener| place(listener).is_some());
    listeners.sort_by_key(place);
}

/// Where these listen, as the log has it.
pub fn addresses(listeners: &[Listener], settings: &Settings) -> String {
    let shown = |listener: &Listener| match listener.address().to_string() {
        plain if settings.tls.is_some() => plain.replacen("http://", "https://", 1),
        plain => plain,
    };
    listeners.iter().map(shown).collect::<Vec<_>>().join(",")
}

fn open(bind: &str, settings: &Settings) -> Result<Vec<Listener>, Fatal> {
    let run_as = &settings.run_as;
    let options = Options {
        backlog: settings.backlog,
        reuse_port: settings.reuse_port,
        umask: settings.umask,
        owner: (run_as.user.as_ref().map(|(id, _)| *id), run_as.group),
    };
    let mut listeners = Listener::open(&bind.parse::<Bind>()?, &options)?;
    for listener in &mut listeners {
        listener.set_name(bind);
    }
    Ok(listeners)
}
