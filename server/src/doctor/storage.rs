//! Where things are kept: the data folder, its disk, the database.

use std::path::Path;

use super::Finding;
use crate::client;
use crate::config::Config;
use crate::data_folder::{DataFolder, Error};
use crate::room_left;

const GIB: u64 = 1 << 30;

/// Looks at the data folder, its disk and the database.
pub async fn check(config: &Config) -> Vec<Finding> {
    let mut findings = vec![disk(&config.data_dir)];
    match DataFolder::take(&config.data_dir) {
        Ok(folder) => {
            findings.push(Finding::ok("data folder", folder.path().display().to_string()));
            findings.push(database(config, folder.path()).await);
        }
        Err(Error::InUse { folder, pid }) => {
            findings
                .push(Finding::ok("data folder", format!("{} is in use by process {pid}", folder.display())));
            findings.push(match client::Local::find(config) {
                Ok(local) if local.answers().await => Finding::ok("database", "in use by the running server"),
                _ => Finding::fail(
                    "server",
                    format!("process {pid} does not answer"),
                    format!("stop it: kill {pid}"),
                ),
            });
        }
        Err(error) => {
            findings.push(Finding::fail("data folder", error.to_string(), "choose another with --data-dir"))
        }
    }
    findings
}

async fn database(config: &Config, folder: &Path) -> Finding {
    let url = config.database_url(folder);
    let kind = url.split(':').next().unwrap_or_default().to_owned();
    match store::Store::open(&url).await {
        Ok(_) => Finding::ok("database", format!("{kind} opens")),
        Err(error @ store::Error::Damaged { .. }) => Finding::fail(
            "database",
            error.to_string(),
            "restore a backup: slipway restore BACKUP --data-dir NEW",
        ),
        Err(error) => {
            Finding::fail("database", error.to_string(), "check DATABASE_URL, and that the database runs")
        }
    }
}

fn disk(folder: &Path) -> Finding {
    let existing = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    match room_left::free(existing) {
        Err(error) => Finding::warn(
            "disk",
            format!("{} can't be measured: {error}", existing.display()),
            "check the mount",
        ),
        Ok(free) => judge(free),
    }
}

fn judge(free: u64) -> Finding {
    let sentence = format!("{:.1} GB free", free as f64 / GIB as f64);
    match free / GIB {
        0 => Finding::fail("disk", sentence, "make room: an environment of one model takes up to several GB"),
        1..5 => {
            Finding::warn("disk", sentence, "make room: an environment of one model takes up to several GB")
        }
        _ => Finding::ok("disk", sentence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn little_room_is_a_warning_and_none_a_failure() {
        assert_eq!(judge(100 * GIB).verdict, Verdict::Ok);
        assert_eq!(judge(2 * GIB).verdict, Verdict::Warn);
        assert_eq!(judge(GIB / 2).verdict, Verdict::Fail);
    }
}
