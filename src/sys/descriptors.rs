//! Descriptors: waiting for them, and handing them from one program to the next.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
        unix::process::CommandExt as _,
    },
    process::{Child, Command},
    time::Duration,
};

use nix::{
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::resource::{RLIM_INFINITY, Resource, getrlimit},
};

/// Makes reads and writes return instead of waiting.
///
/// # Errors
/// As `fcntl`.
pub fn set_nonblocking(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFL)?);
    fcntl(descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Waits until one of these can be read, or the time is over. Returns whether one can.
pub fn wait_readable(descriptors: &[BorrowedFd<'_>], limit: Option<Duration>) -> bool {
    let mut polled: Vec<_> = descriptors.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)).collect();
    // Rounded up, so that what is due then is due.
    let timeout = limit
        .map_or(PollTimeout::NONE, |limit| PollTimeout::try_from(limit.as_millis() + 1).unwrap_or(PollTimeout::MAX));
    // An interruption is as good as the end of the time: the caller looks at what is there.
    poll(&mut polled, timeout).is_ok_and(|ready| ready > 0)
}

/// Takes over a descriptor that this program was started with. Other programs that it starts do not get it.
///
/// # Errors
/// No file is open under this number, or it is one of the three that every program has, or the program's own.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "descriptors 0 to 2 are standard input and output"));
    }
    // SAFETY: only asks for flags; a number that stands for no open file is an error, and is returned.
    let passed = unsafe { BorrowedFd::borrow_raw(number) };
    // What this program opens, or has taken over, has the flag; what was passed to it cannot have it.
    if FdFlag::from_bits_retain(fcntl(passed, FcntlArg::F_GETFD)?).contains(FdFlag::FD_CLOEXEC) {
        return Err(nix::Error::EBADF.into());
    }
    fcntl(passed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    // SAFETY: it is open, and was made for this program by whoever started it, so nothing else here owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Starts a program that keeps these descriptors, under the same numbers.
///
/// # Errors
/// The program cannot be started.
pub fn spawn_with(mut command: Command, descriptors: &[BorrowedFd<'_>]) -> io::Result<Child> {
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let keep = move || {
        for number in &numbers {
            // SAFETY: the caller holds the descriptor open until the program is started.
            let descriptor = unsafe { BorrowedFd::borrow_raw(*number) };
            fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec `keep` only calls fcntl, which is safe there, and allocates nothing.
    unsafe { command.pre_exec(keep) };
    command.spawn()
}

/// How many connections wait at a TCP socket that listens (tcp(7), `TCP_INFO`).
///
/// # Errors
/// It is no TCP socket.
pub fn waiting_connections(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut size = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).map_err(io::Error::other)?;
    // SAFETY: it is made of numbers alone, for which zero is a value.
    let mut about: libc::tcp_info = unsafe { std::mem::zeroed() };
    let (level, option, into) = (libc::IPPROTO_TCP, libc::TCP_INFO, &raw mut about);
    // SAFETY: the kernel writes no more than `size` bytes, which `about` has.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, into.cast(), &raw mut size) };
    // Of a socket that listens, this field is the length of its queue.
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(about.tcpi_unacked) }
}

/// How many bytes of those that a socket has taken have not reached its peer's system; none where that is not known.
pub fn undelivered(socket: RawFd) -> usize {
    let mut size: libc::c_int = 0;
    // SAFETY: the kernel writes one number, which `size` is.
    let result = unsafe { libc::ioctl(socket, libc::TIOCOUTQ, &raw mut size) };
    if result < 0 { 0 } else { usize::try_from(size).unwrap_or_default() }
}

/// Drops what a socket has received: closed with that, it would be reset, and its peer lose what it has not read yet. Gives
/// the number of bytes, none behind the last one that its peer sends.
///
/// # Errors
/// The connection broke.
pub fn discard(socket: RawFd) -> io::Result<Option<usize>> {
    let mut place = [0_u8; 16 << 10];
    let mut dropped = 0;
    // What comes faster is for the next time.
    for _ in 0..64 {
        // SAFETY: the kernel writes no more than `place` has.
        let size = unsafe { libc::recv(socket, place.as_mut_ptr().cast(), place.len(), libc::MSG_DONTWAIT) };
        match usize::try_from(size) {
            Ok(0) => return broken(socket).map(|()| None),
            Ok(size) => dropped += size,
            Err(_) => {
                let error = io::Error::last_os_error();
                match error.kind() {
                    io::ErrorKind::WouldBlock => break,
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                }
            }
        }
    }
    Ok(Some(dropped))
}

/// Breaks a TCP connection: its peer sees a reset, and what has not reached it is dropped. It does not matter who else has the
/// socket (connect(2), `AF_UNSPEC`).
///
/// # Errors
/// It is another kind of socket.
pub fn disconnect(socket: impl AsFd) -> io::Result<()> {
    let family = libc::sa_family_t::try_from(libc::AF_UNSPEC).map_err(io::Error::other)?;
    let nobody = libc::sockaddr { sa_family: family, sa_data: [0; 14] };
    let size = libc::socklen_t::try_from(size_of_val(&nobody)).map_err(io::Error::other)?;
    // SAFETY: the kernel reads no more than `size` bytes, which `nobody` has.
    let result = unsafe { libc::connect(socket.as_fd().as_raw_fd(), &raw const nobody, size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Why a connection broke behind the end of what was received, if it did.
fn broken(socket: RawFd) -> io::Result<()> {
    let mut number: libc::c_int = 0;
    let mut size = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or_default();
    let into = (&raw mut number).cast();
    // SAFETY: the kernel writes no more than `size` bytes, which `number` has.
    let result = unsafe { libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_ERROR, into, &raw mut size) };
    match (result, number) {
        (0, 0) => Ok(()),
        (0, _) => Err(io::Error::from_raw_os_error(number)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes standard output and standard error the same as `file`.
///
/// # Errors
/// As `dup2`.
pub fn redirect_output(file: &File) -> io::Result<()> {
    nix::unistd::dup2_stdout(file)?;
    Ok(nix::unistd::dup2_stderr(file)?)
}

/// Puts another file behind a file's descriptor: whoever writes to its number writes to the other one from now on.
///
/// # Errors
/// As `dup3`.
pub fn replace(file: &mut File, other: &File) -> io::Result<()> {
    // SAFETY: both descriptors are open and stay so; the one that is replaced is `file`'s own, which is borrowed for it.
    let result = unsafe { libc::dup3(other.as_raw_fd(), file.as_raw_fd(), libc::O_CLOEXEC) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends at most `count` bytes of a file from `offset` on to a socket (sendfile(2)). Gives the number that were sent; 0
/// at the file's end.
///
/// # Errors
/// As `sendfile`; `WouldBlock` where the socket takes nothing at present.
pub fn send_file(socket: impl AsFd, file: impl AsFd, offset: u64, count: usize) -> io::Result<usize> {
    let mut offset = i64::try_from(offset).map_err(io::Error::other)?;
    Ok(nix::sys::sendfile::sendfile(socket, file, Some(&mut offset), count)?)
}

/// Another descriptor of the file that this one is of.
///
/// # Errors
/// It is none.
pub fn duplicate(number: RawFd) -> io::Result<File> {
    if number < 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: used for nothing but this call, which fails for a number that is no descriptor.
    Ok(unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned()?.into())
}

/// The next byte that a socket has, which stays where it is; none at the end.
///
/// # Errors
/// As `recv`; `WouldBlock` where there is none at present.
pub fn peek(socket: impl AsFd) -> io::Result<Option<u8>> {
    let mut byte = [0];
    let size = nix::sys::socket::recv(socket.as_fd().as_raw_fd(), &mut byte, nix::sys::socket::MsgFlags::MSG_PEEK)?;
    Ok((size > 0).then_some(byte[0]))
}

/// How many files the process may have open (`ulimit -n`); none where any number.
pub fn most_files() -> Option<usize> {
    let (most, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    usize::try_from(most).ok().filter(|_| most != RLIM_INFINITY)
}
