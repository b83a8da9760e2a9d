//! What is done to the connections of a server that works on Postgres.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use store::OwnDatabase;
use tokio::time::Instant;

use super::acts::Figures;
use super::door::Refused;
use super::show::{Show, until};

/// For how long the database takes no connection.
const REFUSED_FOR: Duration = Duration::from_secs(3);
/// Whoever asks for a change meanwhile has an answer within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The server works again after its connections ended.
const WELL_WITHIN: Duration = Duration::from_secs(10);
/// A window of the autoscaler that [`Show::set`] never sets, in seconds.
const OTHER_WINDOW: u64 = 61;

impl Show {
    /// All connections end, three times.
    pub async fn cut_database(&self, database: &OwnDatabase) -> Figures {
        let mut cut = 0;
        for _ in 0..3 {
            cut += database.cut_connections().await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        ensure!(cut > 0, "the server had no connection that could be ended");
        self.check_writes().await?;
        Ok(vec![format!("{cut} connections ended; then a change was made and read")])
    }

    /// For seconds there is no connection and no new one, as while a database is restored or moved.
    pub async fn refuse_connections(&self, database: &OwnDatabase) -> Figures {
        database.allow_connections(false).await?;
        let seen = self.without_database(database).await;
        // Also where something did not hold: what comes next needs it.
        database.allow_connections(true).await?;
        let seen = seen?;
        self.check_writes().await?;
        Ok(vec![seen, "models answered".into(), "afterwards a change was made and read".into()])
    }

    /// Says what became of a change that was asked for meanwhile.
    async fn without_database(&self, database: &OwnDatabase) -> anyhow::Result<String> {
        until("connections to the database did not end", WELL_WITHIN, async || {
            Ok((database.cut_connections().await? == 0).then_some(()))
        })
        .await?;
        let (before, since) = (self.good(), Instant::now());
        let change = async {
            let answer = tokio::time::timeout(ANSWER_WITHIN, self.write(2, OTHER_WINDOW)).await;
            (answer, since.elapsed())
        };
        let rest = async {
            tokio::time::sleep(REFUSED_FOR).await;
            self.check_serving(before, since).context("while the database refused connections")?;
            // A change may have waited for this.
            database.allow_connections(true).await?;
            anyhow::Ok(())
        };
        let ((answer, took), rest) = tokio::join!(change, rest);
        rest?;
        let millis = took.as_millis();
        let Ok(answer) = answer else { bail!("a change had no answer within {} s", ANSWER_WITHIN.as_secs()) };
        let Err(error) = answer else {
            ensure!(
                took >= REFUSED_FOR,
                "a change was said to be made after {millis} ms, without a database"
            );
            return Ok(format!("a change waited, and was made after {millis} ms"));
        };
        let refused = error.downcast::<Refused>().context("a change broke off")?;
        let is_clear = refused.status.is_server_error() && !refused.message.is_empty();
        ensure!(is_clear, "a change was refused with {}: \"{}\"", refused.status, refused.message);
        Ok(format!(
            "a change was refused after {millis} ms: \"{}\" ({})",
            refused.message,
            refused.status.as_u16()
        ))
    }

    /// Changes something, and reads it.
    async fn check_writes(&self) -> anyhow::Result<()> {
        let failed = "the server did not read and write again";
        let wanted = until(failed, WELL_WITHIN, async || Ok(Some(self.set(2).await?))).await?;
        let window = self.window().await?;
        ensure!(window == wanted, "a setting that was changed to {wanted} is {window}");
        Ok(())
    }
}
