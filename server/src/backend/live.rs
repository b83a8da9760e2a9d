//! The development deployment's live reload, and how its code differs from the newest copy.

use app::error::AppError;
use app::view::{ChangedFile, ChangedLine, DeploymentRef, LivePage, SinceCopy};
use control::{CopyDiff, FileChange, FileDiff, LineTag};
use domain::{Actor, ModelId, SyncState};

use super::Dashboard;
use super::errors::told;

impl Dashboard {
    pub(super) async fn read_live(&self, actor: &Actor, model: &ModelId) -> Result<LivePage, AppError> {
        let picture = self.api.picture(actor, model, &[]).await.map_err(told)?;
        let Some(draft) = picture.deployments.iter().find(|deployment| deployment.is_development()) else {
            return Err(AppError::not_found(format!(
                "{} has no development deployment.",
                picture.model.name
            )));
        };
        let live = draft.live.as_ref();
        let failed = matches!(live.and_then(|live| live.sync.as_ref()), Some(SyncState::Failed { .. }));
        let failure = match failed {
            true => self.api.control.change_failure(actor, model).await.map_err(told)?,
            false => None,
        };
        let since = self.api.control.changes_since_copy(actor, model).await.map_err(told)?;
        Ok(LivePage {
            as_of: picture.now,
            model_id: model.to_string(),
            sentence: live.map_or_else(
                || "push it again with truss push --watch to bring changes in place".to_owned(),
                domain::LiveReload::sentence,
            ),
            failure,
            patched_at: live.and_then(|live| live.patched_at),
            since_copy: since.map(since_copy),
        })
    }
}

fn since_copy(diff: CopyDiff) -> SinceCopy {
    let CopyDiff { copy, files, more } = diff;
    SinceCopy {
        copied_at: copy.created_at,
        copy: DeploymentRef { id: copy.id.to_string(), name: copy.name.to_string() },
        files: files.into_iter().map(file).collect(),
        more: u32::try_from(more).unwrap_or(u32::MAX),
    }
}

fn file(file: FileDiff) -> ChangedFile {
    let change = match file.change {
        FileChange::Added => "added",
        FileChange::Changed => "changed",
        FileChange::Removed => "removed",
    };
    let line = |line: control::DiffLine| ChangedLine {
        mark: match line.tag {
            LineTag::Same => ' ',
            LineTag::Added => '+',
            LineTag::Removed => '-',
            LineTag::Gap => '…',
        },
        text: line.text,
    };
    ChangedFile {
        path: file.path,
        change: change.to_owned(),
        lines: file.lines.map(|lines| lines.into_iter().map(line).collect()),
    }
}
