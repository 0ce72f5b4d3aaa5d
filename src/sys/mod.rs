//! Safe wrappers over what libc offers and the standard library does not.
#![expect(unsafe_code, reason = "the operating system's own interface lives here and nowhere else")]

/// Ends the process at once: no destructor, no `atexit`, no wait for other threads.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: _exit takes any status, and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Sets the mask of permissions that new files do not get, and returns the one before.
pub fn set_umask(mask: u32) -> u32 {
    // SAFETY: umask cannot fail and touches no memory of ours.
    unsafe { libc::umask(mask) }
}

/// Ends a process group at once, and nothing else. One that is gone already is no error.
pub fn kill_group(leader: u32) {
    let Ok(group) = libc::pid_t::try_from(leader) else { return };
    // 0 and 1 would mean other groups than the one that was asked for.
    if group > 1 {
        // SAFETY: killpg takes any number and touches no memory of ours.
        unsafe { libc::killpg(group, libc::SIGKILL) };
    }
}
