//! What git knows of the sources: the commit that is checked out, and where it comes from.
//!
//! Nothing of it is needed: without git, or outside of a repository, there is nothing to know.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::image::job::progress::Progress;

/// A commit.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Commit {
    /// Its name; `-dirty` follows where the folder is not as it was committed.
    pub revision: String,
    /// When it was made, in seconds since 1970.
    pub time: u64,
    /// The repository's address for people, where it has one.
    pub source: Option<String>,
    /// What tags make of it: `v1.2`, or `v1.2-3-g0123456789ab`, three commits later.
    pub version: Option<String>,
    /// Its files, by their names in the folder; none where that is not as it was committed.
    pub files: BTreeSet<PathBuf>,
}

/// What follows the names of what is not as it was committed.
const DIRTY: &str = "-dirty";

/// The commit that `folder` is of. What `except` names is not the app's, so it need not be committed.
pub fn commit(folder: &Path, except: &[&Path], progress: &dyn Progress) -> Option<Commit> {
    // All at once: each takes its time to start.
    let log = begin(folder, &["log", "-1", "--no-show-signature", "--format=%H %ct"]);
    let except = except.iter().filter_map(|path| path.strip_prefix(folder).ok()).filter(|path| *path != Path::new(""));
    let except = except.map(|path| {
        let mut pattern = OsString::from(":(exclude,literal)");
        pattern.push(path);
        pattern
    });
    // All, since a folder of what is not committed would stand for what is in it.
    let untracked = ["status", "--porcelain", "--untracked-files=all", "--", "."].map(OsString::from);
    let status: Vec<_> = untracked.into_iter().chain(except).collect();
    let status = begin(folder, &status);
    let files = begin(folder, &["ls-files", "-z", "--recurse-submodules"]);
    let remote = begin(folder, &["config", "--get", "remote.origin.url"]);
    // As long in each clone, however many objects that has.
    let version = begin(folder, &["describe", "--tags", "--abbrev=12"]);
    let (log, status, remote, version) = (end(log), end(status), end(remote), end(version));
    let files = output(files).filter(|_| status.as_ref().is_some_and(String::is_empty)).unwrap_or_default();
    let names = files.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    if log.is_none() && is_refused(folder) {
        progress.note(&format!(
            "without what git knows of the app, whose repository is somebody else's: git config --global --add \
             safe.directory {} lets it be read",
            folder.display()
        ));
    }
    let log = log?;
    let (revision, time) = log.split_once(' ')?;
    let is_dirty = status.is_some_and(|changes| !changes.is_empty());
    Some(Commit {
        revision: if is_dirty { format!("{revision}{DIRTY}") } else { revision.to_owned() },
        time: time.parse().ok()?,
        source: remote.and_then(|url| public(&url)),
        version: version.map(|version| if is_dirty { format!("{version}{DIRTY}") } else { version }),
        files: names.map(|name| PathBuf::from(OsStr::from_bytes(name))).collect(),
    })
}

fn git(folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut git = Command::new("git");
    // A program that a repository names to watch its files is not run.
    git.arg("-C").arg(folder).args(["-c", "core.fsmonitor=false"]).args(arguments).env("GIT_OPTIONAL_LOCKS", "0");
    git.stdin(Stdio::null());
    git
}

fn begin(folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Option<Child> {
    git(folder, arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()
}

/// Whether git reads nothing there because another user owns it (`safe.directory`).
fn is_refused(folder: &Path) -> bool {
    let output = git(folder, &["rev-parse"]).env("LC_ALL", "C").output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stderr).contains("dubious ownership"))
}

/// What it printed, if it succeeded.
fn output(child: Option<Child>) -> Option<Vec<u8>> {
    let output = child?.wait_with_output().ok()?;
    output.status.success().then_some(output.stdout)
}

/// The same as text.
fn end(child: Option<Child>) -> Option<String> {
    output(child).map(|text| String::from_utf8_lossy(&text).trim().to_owned())
}

/// A remote's address as everyone may know it: without user, password, token or query, and by https where it is asked for by
/// ssh. Nothing for what is on this machine.
fn public(url: &str) -> Option<String> {
    let (scheme, rest) = match url.split_once("://") {
        Some(("https" | "ssh" | "git+ssh" | "git", rest)) => ("https", rest),
        Some(("http", rest)) => ("http", rest),
        Some(_) => return None,
        // Another program is to speak to it.
        None if url.contains("::") => return None,
        // USER@HOST:PATH, as scp has it; with a slash before the colon it is a path of this machine's.
        None => {
            let (host, path) = url.rsplit('@').next()?.split_once(':')?;
            return if host.contains('/') { None } else { joined("https", host, path) };
        }
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_once('/')?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // A port of ssh's is not one of https.
    let host = if url.starts_with("http") { host } else { host.split(':').next().unwrap_or_default() };
    joined(scheme, host, path)
}

fn joined(scheme: &str, host: &str, path: &str) -> Option<String> {
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/').trim_end_matches(".git");
    (!host.is_empty() && !path.is_empty() && !path.contains('@')).then(|| format!("{scheme}://{host}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::public;

    #[test]
    fn an_address_has_no_credentials() {
        for (url, expected) in [
            ("https://example.org/me/shop.git", Some("https://example.org/me/shop")),
            ("https://me:secret@example.org:8443/me/shop.git", Some("https://example.org:8443/me/shop")),
            ("https://ghp_token@example.org/me/shop", Some("https://example.org/me/shop")),
            ("https://me:se@cret@example.org/me/shop", Some("https://example.org/me/shop")),
            ("https://example.org/me/shop?private_token=x#y", Some("https://example.org/me/shop")),
            ("http://x:y@example.org/me/shop/", Some("http://example.org/me/shop")),
            ("git@example.org:me/shop.git", Some("https://example.org/me/shop")),
            ("example.org:me/shop.git", Some("https://example.org/me/shop")),
            ("me:secret@example.org:me/shop.git", Some("https://example.org/me/shop")),
            ("ssh://git@example.org:2222/me/shop.git", Some("https://example.org/me/shop")),
            ("git://example.org/me/shop", Some("https://example.org/me/shop")),
            ("file:///srv/git/shop.git", None),
            ("/srv/git/shop.git", None),
            ("../shop", None),
            ("./a:b", None),
            ("ext::sh -c secret", None),
            ("codecommit::region://profile@shop", None),
            ("https://example.org", None),
            ("", None),
        ] {
            assert_eq!(public(url).as_deref(), expected, "{url}");
        }
    }
}
