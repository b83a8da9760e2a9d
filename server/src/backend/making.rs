//! What a deployment says while it is made, or why it could not be.

use app::view::Making;
use domain::{Actor, Build, Deployment, DeploymentStatus, LogLine, LogQuery, LogSource};

use super::Dashboard;
use crate::picture::Picture;

/// Lines that are shown where a deployment is one among others.
const LINES: usize = 6;
/// Lines that are read to find them: those of ours say less than those of the build or the model.
const READ: usize = 40;

impl Dashboard {
    /// The last lines of one that is being made or could not be; nothing for all others.
    pub(super) async fn making(
        &self,
        actor: &Actor,
        picture: &Picture,
        deployment: &Deployment,
    ) -> Option<Making> {
        let running = match picture.standing(deployment).status {
            DeploymentStatus::Building | DeploymentStatus::Deploying | DeploymentStatus::LoadingModel => true,
            DeploymentStatus::BuildFailed | DeploymentStatus::DeployFailed => false,
            _ => return None,
        };
        let since = match &deployment.build {
            Build::Running { since, .. } => Some(*since),
            _ => None,
        };
        let query = LogQuery { limit: READ, ascending: false, ..LogQuery::default() };
        let model = &picture.model.id;
        // Lines that can't be read now are no reason to show no page.
        let found = self.api.control.logs(actor, model, &deployment.id, &query).await.unwrap_or_default();
        Some(Making { running, since, lines: last(found.lines) })
    }
}

/// The last lines that say something, oldest first; `lines` are newest first.
fn last(lines: Vec<LogLine>) -> Vec<String> {
    let own = |line: &&LogLine| line.source != LogSource::Platform && !line.message.trim().is_empty();
    let mut last: Vec<String> =
        lines.iter().filter(own).take(LINES).map(|line| line.message.clone()).collect();
    last.reverse();
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_those_of_the_build_and_the_model() {
        let line = |nanos: i64, source, message: &str| LogLine {
            nanos,
            message: message.into(),
            level: None,
            source,
            replica: None,
            request_id: None,
        };
        let newest_first = vec![
            line(4, LogSource::Platform, "replica r1 starts on port 20000"),
            line(3, LogSource::Build, "second"),
            line(2, LogSource::Build, "  "),
            line(1, LogSource::Build, "first"),
        ];
        assert_eq!(last(newest_first), ["first", "second"]);
    }
}
