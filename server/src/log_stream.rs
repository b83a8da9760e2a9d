//! A log as it is written, for a browser: server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use app::backend::{LogNews, LogsOf, Session};
use app::error::AppError;
use app::view::LogFilter;
use axum::response::sse::Event;
use domain::{LogPlaces, ModelId};
use futures::Stream;
use http::HeaderMap;
use http::request::Parts;
use tokio::time::Instant;

use crate::dashboard::{ASK_AGAIN, Streams};

/// The least time between two events, so that a storm of lines is a few large events and not many small ones.
const PACE: Duration = Duration::from_millis(50);

/// What somebody follows.
pub struct Following {
    pub streams: Streams,
    /// The request, to ask again who it is.
    pub parts: Parts,
    pub session: Session,
    pub model: ModelId,
    pub of: LogsOf,
    pub filter: LogFilter,
    /// Everything up to there was sent.
    pub after: LogPlaces,
}

/// Where a browser that was cut off goes on: the id of the last event it got.
pub fn resumed(headers: &HeaderMap) -> Option<LogPlaces> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}

/// One event for each piece of news. Nothing is read before the browser has taken what was sent, so a slow one holds
/// nothing up and nothing piles up for it: it gets the newest lines and how many were left out. The stream ends with the
/// server, with the deployment or the environment, and with the right to look at it.
pub fn events(following: Following) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    let now = Instant::now();
    futures::stream::unfold(
        (following, now, now + ASK_AGAIN),
        |(mut following, not_before, mut ask_at)| async move {
            let shutdown = following.streams.shutdown.clone();
            let news = async move {
                tokio::time::sleep_until(not_before).await;
                loop {
                    if let Ok(news) = tokio::time::timeout_at(ask_at, following.next()).await {
                        let news = news.ok()?;
                        following.after = news.page.next.clone();
                        if !news.page.lines.is_empty() || news.page.left_out > 0 {
                            return Some((news, following, ask_at));
                        }
                        continue;
                    }
                    following.session = following.streams.backend.open(&following.parts).await.ok()?;
                    ask_at = Instant::now() + ASK_AGAIN;
                }
            };
            let (news, following, ask_at) = tokio::select! {
                () = shutdown.cancelled() => return None,
                news = news => news?,
            };
            let pause = if news.more { Duration::ZERO } else { PACE };
            let event =
                Event::default().id(following.after.to_string()).json_data(&news.page).unwrap_or_default();
            Some((Ok(event), (following, Instant::now() + pause, ask_at)))
        },
    )
}

impl Following {
    async fn next(&self) -> Result<LogNews, AppError> {
        let Self { streams, session, model, of, filter, after, .. } = self;
        streams.backend.follow_logs(session, model, of, filter, after).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_can_be_gone_on_from() {
        let of = |value: &'static str| {
            resumed(&HeaderMap::from_iter([(
                http::HeaderName::from_static("last-event-id"),
                http::HeaderValue::from_static(value),
            )]))
        };
        assert_eq!(of("17"), Some(LogPlaces::at(17)));
        assert_eq!(of("17~abcdefg.23").map(|places| places.of("abcdefg")), Some(23));
        assert_eq!(of("17x"), None);
        assert_eq!(resumed(&HeaderMap::new()), None);
    }
}
