//! What a process does to leave its terminal or its privileges behind.

use std::io;

use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
    unistd::{self, Gid, Group, Uid},
};

use super::process::{Fork, exit_now, fork};

/// Detaches the process from its terminal (gunicorn's `daemon`): a new session, no way back to a terminal, standard
/// input, and unless `keep_output` output too, to nowhere.
///
/// # Errors
/// The system has no process to give, or no null device.
pub fn become_daemon(keep_output: bool) -> io::Result<()> {
    if let Fork::Parent(_) = fork()? {
        exit_now(0);
    }
    unistd::setsid()?;
    // The leader of a session can get a terminal by opening one; its child cannot.
    if let Fork::Parent(_) = fork()? {
        exit_now(0);
    }
    // As gunicorn's daemons have it, whatever the terminal had.
    super::set_umask(0o022);
    let null = open("/dev/null", OFlag::O_RDWR, Mode::empty())?;
    unistd::dup2_stdin(&null)?;
    if !keep_output {
        unistd::dup2_stdout(&null)?;
        unistd::dup2_stderr(&null)?;
    }
    Ok(())
}

/// Whom a worker runs as.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct User {
    /// The user's id and, where it has one, name.
    pub user: Option<(u32, Option<String>)>,
    /// The group's id.
    pub group: Option<u32>,
    /// Whether the user's other groups are taken on too.
    pub initgroups: bool,
}

impl User {
    /// Finds a user and a group by name or number.
    ///
    /// # Errors
    /// The one that does not exist.
    pub fn find(user: Option<&str>, group: Option<&str>, initgroups: bool) -> Result<Self, String> {
        let user = match user {
            None => None,
            Some(text) => Some(match text.parse() {
                Ok(id) => (id, unistd::User::from_uid(Uid::from_raw(id)).ok().flatten().map(|user| user.name)),
                Err(_) => match unistd::User::from_name(text) {
                    Ok(Some(user)) => (user.uid.as_raw(), Some(user.name)),
                    _ => return Err(format!("There is no user {text:?}")),
                },
            }),
        };
        let group = match group {
            None => None,
            Some(text) => Some(match text.parse() {
                Ok(id) => id,
                Err(_) => match Group::from_name(text) {
                    Ok(Some(group)) => group.gid.as_raw(),
                    _ => return Err(format!("There is no group {text:?}")),
                },
            }),
        };
        Ok(Self { user, group, initgroups })
    }
}

/// Takes on another user and group, for good.
///
/// # Errors
/// This process may not.
pub fn become_user(wanted: &User) -> io::Result<()> {
    let group = Gid::from_raw(wanted.group.unwrap_or_else(|| unistd::getegid().as_raw()));
    if let Some((id, name)) = &wanted.user
        && Uid::from_raw(*id) != unistd::geteuid()
    {
        match name {
            Some(name) if wanted.initgroups => {
                let name = std::ffi::CString::new(name.as_str())?;
                unistd::initgroups(&name, group)?;
            }
            // Otherwise the groups of whoever started the server would stay.
            _ => unistd::setgroups(&[group])?,
        }
    }
    if group != unistd::getegid() {
        unistd::setgid(group)?;
    }
    if let Some((id, _)) = &wanted.user
        && Uid::from_raw(*id) != unistd::geteuid()
    {
        unistd::setuid(Uid::from_raw(*id))?;
    }
    Ok(())
}

/// Names the process for `top` and `ps -o comm`, which show 15 bytes.
pub fn set_process_name(name: &str) {
    if let Ok(name) = std::ffi::CString::new(name) {
        // A name is only for people to see.
        let _ = nix::sys::prctl::set_name(&name);
    }
}
