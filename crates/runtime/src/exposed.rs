//! Whether a replica listens where it should and nowhere else, as it is seen over its life.

use std::time::Duration;

use domain::{LogLevel, LogSource};
use tokio::time::Instant;

use crate::exposure::{self, Listening};
use crate::parse::Parsed;
use crate::probe::Health;
use crate::supervise::Supervisor;

/// How often it is seen to that other machines can't reach it.
const EXPOSURE: Duration = Duration::from_secs(30);
/// How long something else may answer on its port before its log says so.
const STRANGE: Duration = Duration::from_secs(2);

/// Where it listens.
pub(crate) enum Looked {
    /// On loopback, as far as its own process goes; the rest is looked at later.
    Plainly,
    Wholly(Listening, Vec<u16>),
}

/// What was seen of where it listens.
pub(crate) struct Exposure {
    next: Instant,
    /// It was itself that answered.
    pub own: bool,
    /// Its log says which other ports it opened.
    told: bool,
    /// Since when something else answers on its port, and whether its log says so.
    stranger: Option<Instant>,
    told_of_stranger: bool,
}

impl Exposure {
    /// Nothing was seen yet; without an occasion it is looked at from `next` on.
    pub fn new(next: Instant) -> Self {
        Self { next, own: false, told: false, stranger: None, told_of_stranger: false }
    }
}

impl Supervisor {
    /// Whether it listens where it should: looked at when it first answers, and now and then.
    pub(crate) async fn exposed(
        &self,
        seen: &mut Exposure,
        health: Health,
        looked: Option<Looked>,
    ) -> Listening {
        let (leader, port) = (self.manifest.identity.group(), self.manifest.port);
        let looked = match looked {
            Some(Looked::Plainly) => {
                seen.own = true;
                return Listening::Private;
            }
            Some(Looked::Wholly(here, others)) => Ok((here, others)),
            None if Instant::now() < seen.next => return Listening::Private,
            None => {
                let answers = health != Health::Silent;
                tokio::task::spawn_blocking(move || exposure::look(leader, port, answers)).await
            }
        };
        let Ok((here, others)) = looked else { return Listening::Private };
        seen.own |= here == Listening::Private;
        seen.next =
            Instant::now() + if self.manifest.ready_at.is_some() { EXPOSURE } else { Duration::from_secs(1) };
        if !others.is_empty() && !seen.told {
            seen.told = true;
            let ports: Vec<String> = others.iter().map(u16::to_string).collect();
            let text = format!(
                "replica {} also listens for other machines, on port {}; let it listen on 127.0.0.1 only",
                self.manifest.id,
                ports.join(", ")
            );
            self.log(vec![Parsed::plain(LogSource::Platform, Some(LogLevel::Warning), &text)]);
        }
        match (here, health) {
            // It does not listen and nobody answers: that is for its health to say.
            (Listening::Elsewhere, Health::Silent) => {
                seen.stranger = None;
                Listening::Private
            }
            (Listening::Elsewhere, _) => {
                self.note_stranger(seen);
                here
            }
            _ => {
                seen.stranger = None;
                here
            }
        }
    }

    /// Says that something else answers in its place, if that goes on: it never gets ready so, and nothing else would say why.
    fn note_stranger(&self, seen: &mut Exposure) {
        let now = Instant::now();
        let since = *seen.stranger.get_or_insert(now);
        if seen.told_of_stranger || now < since + STRANGE {
            return;
        }
        seen.told_of_stranger = true;
        let text = format!(
            "what answers on port {} is no process of replica {}'s own, so it is not taken for the model; let the start command's \
             process, or one that stays in its process group, listen on 127.0.0.1:$PORT",
            self.manifest.port, self.manifest.id
        );
        self.log(vec![Parsed::plain(LogSource::Platform, Some(LogLevel::Warning), &text)]);
    }
}
