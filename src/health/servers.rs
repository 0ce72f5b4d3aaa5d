//! Which servers run here, and where they listen, as the kernel tells it (proc(5)): whatever the command line, variables or
//! a configuration file made of it, this is what is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use super::place::Place;
use crate::{exit::Fatal, net::Bind};

/// The state of a TCP socket that listens (`include/net/tcp_states.h`), as it is written in /proc/net/tcp.
const LISTENS: &str = "0A";
/// The flag of a unix socket that listens (`__SO_ACCEPTCON`), as it is written in /proc/net/unix.
const ACCEPTS: &str = "00010000";

/// A process with sockets that listen.
#[derive(Debug)]
struct Server {
    process: u32,
    parent: u32,
    /// In the order in which they were opened.
    sockets: Vec<u64>,
}

/// Where the one server of this very program that runs here listens first.
///
/// # Errors
/// There is none, or more than one.
pub fn only() -> Result<Place, Fatal> {
    let listening = listening();
    let found = servers(&listening);
    let place = |server: &Server| match listening[&server.sockets[0]].clone() {
        Place(Bind::Unix(path)) if path.is_relative() => {
            Place(Bind::Unix(Path::new("/proc").join(server.process.to_string()).join("cwd").join(path)))
        }
        other => other,
    };
    match found.as_slice() {
        [server] => Ok(place(server)),
        [] => Err(Fatal::new(
            "Unhealthy: no rwsgi listens here, or this user may not look at it. If it should, name its address: \
             rwsgi healthcheck HOST:PORT",
        )),
        several => {
            let list: Vec<_> =
                several.iter().map(|server| format!("{} (process {})", place(server), server.process)).collect();
            Err(Fatal::new(format!(
                "More than one rwsgi listens here: {}. Name the address of one: rwsgi healthcheck HOST:PORT",
                list.join(", ")
            )))
        }
    }
}

/// Those that are nobody's worker; two that share their sockets (one takes over from the other) are one.
fn servers(listening: &BTreeMap<u64, Place>) -> Vec<Server> {
    let Ok(own) = fs::read_link("/proc/self/exe") else { return Vec::new() };
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<Server> = processes
        .filter_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let folder = entry.path();
            if !is_program(&fs::read_link(folder.join("exe")).ok()?, &own) {
                return None;
            }
            let sockets: Vec<u64> =
                sockets(&folder).into_iter().filter(|inode| listening.contains_key(inode)).collect();
            (!sockets.is_empty()).then_some(Server { process, parent: parent(&folder)?, sockets })
        })
        .collect();
    let all: BTreeSet<u32> = found.iter().map(|server| server.process).collect();
    found.retain(|server| !all.contains(&server.parent));
    found.sort_by_key(|server| server.process);
    let mut seen = BTreeSet::new();
    found.retain(|server| seen.insert(server.sockets.clone()));
    found
}

/// An upgrade may have replaced the file of a program that runs.
fn is_program(path: &Path, own: &Path) -> bool {
    let name = |path: &Path| path.to_string_lossy().trim_end_matches(" (deleted)").to_owned();
    name(path) == name(own)
}

/// The inodes of a process's sockets.
fn sockets(folder: &Path) -> Vec<u64> {
    let mut found: Vec<(u32, u64)> = fs::read_dir(folder.join("fd"))
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let link = fs::read_link(entry.path()).ok()?;
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, inode))
        })
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, inode)| inode).collect()
}

fn parent(folder: &Path) -> Option<u32> {
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    // The name, in parentheses, may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// All sockets that listen, by their inodes.
fn listening() -> BTreeMap<u64, Place> {
    let mut found = BTreeMap::new();
    for name in ["tcp", "tcp6"] {
        let text = fs::read_to_string(Path::new("/proc/net").join(name)).unwrap_or_default();
        found.extend(text.lines().skip(1).filter_map(tcp));
    }
    let text = fs::read(Path::new("/proc/net/unix")).unwrap_or_default();
    found.extend(String::from_utf8_lossy(&text).lines().skip(1).filter_map(unix));
    found
}

fn tcp(line: &str) -> Option<(u64, Place)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if *fields.get(3)? != LISTENS {
        return None;
    }
    let (address, port) = fields.get(1)?.split_once(':')?;
    let host = address_of(address)?;
    let place = Place(Bind::Tcp(host, u16::from_str_radix(port, 16).ok()?)).for_clients();
    Some((fields.get(9)?.parse().ok()?, place))
}

/// An address as the kernel prints it: words of 32 bits in this machine's order, each as a number.
fn address_of(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    for start in (0..text.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(text.get(start..start + 8)?, 16).ok()?.to_ne_bytes());
    }
    if let Ok(four) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(Ipv4Addr::from(four).to_string());
    }
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?).to_string())
}

fn unix(line: &str) -> Option<(u64, Place)> {
    // Num, RefCount, Protocol, Flags, Type, St, Inode (which is set off to the right) and Path, which may have spaces.
    let mut rest = line;
    let mut fields = Vec::new();
    for _ in 0..7 {
        let (field, behind) = rest.trim_start().split_once(' ')?;
        fields.push(field);
        rest = behind;
    }
    if fields[3] != ACCEPTS || rest.is_empty() {
        return None;
    }
    let bind = match rest.strip_prefix('@') {
        Some(name) => Bind::Abstract(name.to_owned()),
        None => Bind::Unix(PathBuf::from(rest)),
    };
    Some((fields[6].parse().ok()?, Place(bind)))
}

#[cfg(test)]
mod tests {
    use super::{tcp, unix};

    #[test]
    fn what_listens_is_read_as_the_kernel_writes_it() {
        let line =
            "   0: 00000000:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000 65532        0 4711 1 0";
        let shown = |found: Option<(u64, super::Place)>| found.map(|(inode, place)| (inode, place.to_string()));
        if cfg!(target_endian = "little") {
            assert_eq!(shown(tcp(line)), Some((4711, "127.0.0.1:5000".to_owned())));
            let six = line.replace("00000000:1388", "00000000000000000000000001000000:1388");
            assert_eq!(shown(tcp(&six)), Some((4711, "[::1]:5000".to_owned())));
        }
        assert_eq!(shown(tcp(&line.replace(" 0A ", " 01 "))), None, "a connection");
        for (path, expected) in [("/run/a b.sock", "unix:/run/a b.sock"), ("@name", "unix:@name")] {
            for inode in ["4711", " 4711"] {
                let line = format!("0000000000000000: 00000002 00000000 00010000 0001 01 {inode} {path}");
                assert_eq!(shown(unix(&line)), Some((4711, expected.to_owned())), "{line}");
            }
        }
        assert_eq!(shown(unix("0000000000000000: 00000002 00000000 00000000 0002 01  4711 /run/datagrams")), None);
        assert_eq!(shown(unix("0000000000000000: 00000002 00000000 00010000 0001 01  4711")), None);
    }
}
