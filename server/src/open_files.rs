//! How many files this process may have open, and how many of them may be connections of clients.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Takes what the machine permits: each request of a busy gateway is a file or two.
pub fn raise() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// How many connections of clients may be open at once: what is `set`, or else a part of what this process may open.
/// `None` if nothing limits them.
pub fn connections(set: Option<usize>) -> Option<usize> {
    most(set, getrlimit(Resource::Nofile).current)
}

/// Three quarters of the files. The rest is for connections to replicas, the database, and what is written.
fn most(set: Option<usize>, files: Option<u64>) -> Option<usize> {
    let share = files.map(|files| usize::try_from(files / 4 * 3).unwrap_or(usize::MAX));
    if let (Some(set), Some(share)) = (set, share)
        && set > share
    {
        tracing::warn!(
            "`gateway_connections` is {set}, more than three quarters of the files that this process may have open ({share}); \
             raise that limit (LimitNOFILE in a systemd unit), or connections may fail"
        );
    }
    set.or(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_three_quarters_unless_it_is_set() {
        assert_eq!(most(None, Some(20_000)), Some(15_000));
        assert_eq!(most(None, None), None);
        assert_eq!(most(Some(500), Some(20_000)), Some(500));
        assert_eq!(most(Some(50_000), Some(20_000)), Some(50_000));
        assert_eq!(most(Some(500), None), Some(500));
    }
}
