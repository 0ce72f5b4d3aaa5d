//! Where the server listens, and how that follows the settings.

use std::{io, thread, time::Duration};

use crate::{
    arbiter::upgrade::Inherited,
    exit::Fatal,
    net::{self, Bind, Listener, Options, systemd},
    settings::Settings,
};

/// How often an address in use is tried at the start (gunicorn): whoever listens there may be about to end.
const ATTEMPTS: u32 = 5;

/// Takes the listeners from the arbiter before, or from systemd, or opens those that the settings name.
pub fn listeners(settings: &Settings, inherited: Option<&Inherited>) -> Result<Vec<Listener>, Fatal> {
    let adopted = |number: i32, adopted: io::Result<Listener>| {
        adopted.map_err(|error| {
            Fatal::new(format!("The socket that was passed as descriptor {number} cannot be used: {error}."))
        })
    };
    let mut listeners = match inherited {
        Some(Inherited { listeners, .. }) => listeners
            .iter()
            .map(|(number, name)| adopted(*number, Listener::inherit(*number, name.as_deref())))
            .collect::<Result<Vec<_>, _>>()?,
        None => systemd::descriptors()
            .map(|number| adopted(number, Listener::adopt(number)))
            .collect::<Result<Vec<_>, _>>()?,
    };
    open_missing(settings, &mut listeners, ATTEMPTS)?;
    close_others(settings, &mut listeners);
    Ok(listeners)
}

/// Opens what the settings name and is not open. Where an address is in use it is tried so many times, one a second. When
/// that fails nothing has changed.
pub fn open_missing(settings: &Settings, listeners: &mut Vec<Listener>, attempts: u32) -> Result<(), Fatal> {
    // Sockets that systemd has passed stay what they are, whatever the settings name.
    if listeners.iter().any(|listener| listener.name().is_none()) {
        return Ok(());
    }
    let missing = settings.bind.iter().filter(|bind| listeners.iter().all(|listener| listener.name() != Some(bind)));
    let opened = missing.map(|bind| open(bind, settings, attempts)).collect::<Result<Vec<_>, Fatal>>()?;
    listeners.extend(opened);
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

/// What one of the settings' addresses means.
///
/// # Errors
/// Why it is none.
pub fn address(bind: &str, settings: &Settings) -> Result<Bind, Fatal> {
    Bind::parse(bind).map_err(|reason| {
        Fatal::new(format!("The address {bind:?} of {} cannot be used: {reason}.", settings.bind_shown))
    })
}

fn open(bind: &str, settings: &Settings, attempts: u32) -> Result<Listener, Fatal> {
    let run_as = &settings.run_as;
    let options = Options {
        backlog: settings.backlog,
        reuse_port: settings.reuse_port,
        umask: settings.umask,
        owner: (run_as.user.as_ref().map(|(id, _)| *id), run_as.group),
    };
    let address = address(bind, settings)?;
    let mut opened = Listener::open(&address, &options);
    for _ in 1..attempts {
        let Err(error) = &opened else { break };
        if error.kind() != io::ErrorKind::AddrInUse {
            break;
        }
        tracing::error!("Connection in use: {address}. The next attempt is in a second.");
        thread::sleep(Duration::from_secs(1));
        opened = Listener::open(&address, &options);
    }
    let mut listener = opened.map_err(|error| net::refuse(&address, &error))?;
    listener.set_name(bind);
    Ok(listener)
}
