//! Memory that Linux control groups leave this process. Containers and batch systems use them to set limits.

use std::path::{Component, Path};

/// Where the two versions of control groups keep their numbers.
struct Version {
    /// Folder below the mount.
    folder: &'static str,
    limit: &'static str,
    usage: &'static str,
    /// Entries of `memory.stat` for pages of files, which count as used but are given back when needed.
    cache: [&'static str; 2],
}

const SECOND: Version =
    Version { folder: "", limit: "memory.max", usage: "memory.current", cache: ["inactive_file", "active_file"] };

const FIRST: Version = Version {
    folder: "memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    cache: ["total_inactive_file", "total_active_file"],
};

/// The least memory that any group of this process has left, if one of them has a limit.
pub fn available_bytes() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    least(Path::new("/sys/fs/cgroup"), &groups)
}

/// The same for a process whose `/proc/self/cgroup` has the text `groups`. `mount` holds the groups.
fn least(mount: &Path, groups: &str) -> Option<u64> {
    groups.lines().filter_map(|line| of_hierarchy(mount, line)).min()
}

/// What a group and the groups around it leave. `line` is `number:controllers:path`.
fn of_hierarchy(mount: &Path, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let version = match controllers {
        "" => SECOND,
        names if names.split(',').any(|name| name == "memory") => FIRST,
        _ => return None,
    };
    let root = mount.join(version.folder);
    let path = Path::new(path.trim_start_matches('/'));
    // In a container, the path may be that of the machine, or lead out of what can be seen. Then the end of the path
    // does not exist, and the root is the container's own.
    path.ancestors()
        .filter(|group| group.components().all(|part| matches!(part, Component::Normal(_))))
        .filter_map(|group| version.left_in(&root.join(group)))
        .min()
}

impl Version {
    fn left_in(&self, group: &Path) -> Option<u64> {
        let number = |name| std::fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
        let (limit, usage) = (number(self.limit)?, number(self.usage)?);
        let stat = std::fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let entry = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            self.cache.contains(&name).then(|| value.trim().parse::<u64>().ok())?
        };
        let cache: u64 = stat.lines().filter_map(entry).sum();
        Some(limit.saturating_sub(usage.saturating_sub(cache)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mount with files of the given paths and contents.
    fn mount(files: &[(&str, &str)]) -> tempfile::TempDir {
        let mount = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = mount.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("created");
            std::fs::write(path, text).expect("written");
        }
        mount
    }

    #[test]
    fn groups_around_the_own_one_limit_it_too() {
        let mount = mount(&[
            ("jobs/memory.max", "1000\n"),
            ("jobs/memory.current", "900\n"),
            ("jobs/memory.stat", "anon 500\ninactive_file 200\nactive_file 100\nfile 300\n"),
            ("jobs/one/memory.max", "max\n"),
            ("jobs/one/memory.current", "10\n"),
            ("jobs/one/deep/memory.max", "5000\n"),
            ("jobs/one/deep/memory.current", "10\n"),
        ]);
        assert_eq!(least(mount.path(), "0::/jobs/one/deep\n"), Some(400));
        assert_eq!(least(mount.path(), "0::/\n"), None);
        assert_eq!(least(mount.path(), "0::/../jobs\n"), None);
    }

    #[test]
    fn limits_of_the_first_version_are_heeded() {
        let mount = mount(&[
            ("memory/memory.limit_in_bytes", "2000\n"),
            ("memory/memory.usage_in_bytes", "700\n"),
            ("memory/memory.stat", "total_inactive_file 100\ninactive_file 5\n"),
            ("memory/jobs/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/jobs/memory.usage_in_bytes", "700\n"),
        ]);
        let groups = "5:cpu,cpuacct:/jobs\n3:hugetlb,memory:/jobs\n0::/jobs\n";
        assert_eq!(least(mount.path(), groups), Some(1400));
        // In a container the path is the machine's, and only the root can be seen.
        assert_eq!(least(mount.path(), "3:memory:/docker/0123/456\n"), Some(1400));
        assert_eq!(least(mount.path(), "5:cpu:/jobs\n"), None);
    }
}
