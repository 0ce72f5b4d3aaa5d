//! Socket activation and readiness as systemd has them (`sd_listen_fds(3)`, `sd_notify(3)`).

use std::{
    env,
    ops::Range,
    os::linux::net::SocketAddrExt as _,
    os::unix::net::{SocketAddr, UnixDatagram},
};

use crate::sys;

/// The first descriptor that systemd passes.
const FIRST: i32 = 3;

/// The descriptors of sockets that systemd opened for this process. They are told once: neither the app nor programs that
/// it starts shall take them for theirs. To be called while there is one thread.
pub fn descriptors() -> Range<i32> {
    let number = |name| env::var(name).ok()?.parse::<u32>().ok();
    let told = (number("LISTEN_PID"), number("LISTEN_FDS"));
    for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
        sys::remove_variable(name);
    }
    match told {
        (Some(pid), Some(count)) if pid == std::process::id() => FIRST..FIRST.saturating_add_unsigned(count),
        _ => FIRST..FIRST,
    }
}

/// Tells systemd something about this service, `READY=1` say. Without systemd nothing happens.
pub fn notify(state: &str) {
    let Ok(path) = env::var("NOTIFY_SOCKET") else { return };
    let Ok(socket) = UnixDatagram::unbound() else { return };
    // systemd waits for it with a limit of its own, so a message that is lost is seen there.
    let _ = match path.strip_prefix('@') {
        Some(name) => {
            SocketAddr::from_abstract_name(name).and_then(|address| socket.send_to_addr(state.as_bytes(), &address))
        }
        None => socket.send_to(state.as_bytes(), &path),
    };
}
