//! How much memory there is for this process.

use std::{fs, path::Path};

/// How much memory this process may use, in bytes: what the machine has or what its control groups allow (v1 and v2),
/// whichever is less. `None` where the system does not say.
pub fn memory_limit() -> Option<u64> {
    limit_below(Path::new("/"))
}

fn limit_below(root: &Path) -> Option<u64> {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let installed = read("proc/meminfo").lines().find_map(|line| {
        let kib = line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?;
        Some(kib.trim().parse::<u64>().ok()? << 10)
    });
    let groups = read("proc/self/cgroup");
    let allowed = groups.lines().filter_map(|line| {
        let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
        let (hierarchy, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        // A group is held to the limits of those that it is in, too. In a container the names may be those outside of
        // it: then there is only the container's own.
        let folders = Path::new(group).ancestors();
        let limits = folders.filter_map(|folder| {
            let folder = root.join(hierarchy).join(folder.strip_prefix("/").unwrap_or(folder));
            fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok()
        });
        limits.min()
    });
    allowed.chain(installed).min()
}

#[cfg(test)]
mod tests {
    use super::limit_below;

    fn limit(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        limit_below(root.path())
    }

    #[test]
    fn the_least_that_is_said_counts() {
        let machine = ("proc/meminfo", "MemTotal:       2048 kB\nMemFree:        1 kB\n");
        assert_eq!(limit(&[]), None);
        assert_eq!(limit(&[machine]), Some(2048 << 10));
        let second = ("proc/self/cgroup", "0::/system.slice/a.service\n");
        let above = ("sys/fs/cgroup/system.slice/memory.max", "1000\n");
        let own = ("sys/fs/cgroup/system.slice/a.service/memory.max", "max\n");
        assert_eq!(limit(&[machine, second, above, own]), Some(1000));
        let first = ("proc/self/cgroup", "5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n");
        let contained = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "5000\n");
        assert_eq!(limit(&[machine, first, contained]), Some(5000));
        let none = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit(&[machine, first, none]), Some(2048 << 10));
    }
}
