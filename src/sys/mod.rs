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
