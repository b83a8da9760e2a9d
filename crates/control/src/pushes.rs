//! Pushes under way and those just done. Who sends the same one again, because the answer took longer than they waited or
//! the connection broke, hears what comes of the first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{Actor, Invalid, Timestamp};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::{Error, Push, Pushed};

/// How long the outcome of a push is known, in milliseconds from its beginning: an hour.
const KNOWN_FOR: i64 = 3_600_000;
/// How many outcomes are known: beyond them, the oldest is forgotten.
const MOST: usize = 1_000;

/// Of one server's life.
#[derive(Default)]
pub(crate) struct Pushes {
    /// By the key of the upload, which is good for one push.
    known: Mutex<HashMap<String, Known>>,
    /// Those under way, whether or not somebody waits for them.
    tasks: TaskTracker,
}

/// A push as somebody sent it: all of it by a digest, because it may be as large as a body.
pub(crate) struct Sent {
    key: String,
    digest: [u8; 32],
}

struct Known {
    digest: [u8; 32],
    begun: Timestamp,
    outcome: Outcome,
}

/// What comes of a push; `None` until it is decided.
#[derive(Clone)]
pub(crate) struct Outcome(watch::Receiver<Option<Arc<Result<Pushed, Error>>>>);

/// To be told what came of a push.
pub(crate) struct Mine {
    key: String,
    tell: watch::Sender<Option<Arc<Result<Pushed, Error>>>>,
}

pub(crate) enum Entered {
    /// Whoever enters it first carries it out.
    First(Mine, Outcome),
    Again(Outcome),
}

impl Sent {
    pub fn new(actor: &Actor, push: &Push) -> Self {
        let Push {
            target,
            upload_key,
            config,
            deployment_name,
            environment,
            create_environment,
            autoscaling,
            backpressure,
            settings_override,
            scale_down_previous,
            preserve_instance_type,
            allow_download,
            deploy_timeout_minutes,
            labels,
            raw_config,
        } = push;
        let what = (actor.id(), target, upload_key, deployment_name, environment, create_environment);
        let how = (autoscaling, backpressure, settings_override, scale_down_previous, preserve_instance_type);
        let rest = (allow_download, deploy_timeout_minutes, labels.is_some(), raw_config.is_some());
        let small = format!("{what:?} {how:?} {rest:?}");
        let large = [labels, raw_config].map(|text| text.as_deref().unwrap_or_default());
        let mut digest = Sha256::new();
        for text in [small.as_str(), config.as_str()].into_iter().chain(large) {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text.as_bytes());
        }
        Self { key: upload_key.clone(), digest: digest.finalize().into() }
    }
}

/// What came of a push that took its archive, as it is told: who is to try again needs another archive.
pub(crate) fn once_taken(error: Error) -> Error {
    match error {
        Error::Busy => Error::conflict(
            "others changed the model at the same moment, several times; upload the archive and push again",
        ),
        other => other,
    }
}

impl Outcome {
    /// What came of it, once that is decided.
    pub(crate) async fn wait(mut self) -> Result<Pushed, Error> {
        let interrupted =
            || Error::Internal("the push was interrupted; upload the archive and push again".into());
        let decided = self.0.wait_for(Option::is_some).await.map_err(|_| interrupted())?.clone();
        match decided.as_deref() {
            Some(Ok(pushed)) => Ok(pushed.clone()),
            Some(Err(error)) => Err(error.again()),
            None => Err(interrupted()),
        }
    }

    fn is_decided(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Nobody decides it any more.
    fn is_broken(&self) -> bool {
        !self.is_decided() && self.0.has_changed().is_err()
    }
}

impl Pushes {
    /// The outcome of the same push by the same actor, if there was one.
    pub fn find(&self, sent: &Sent) -> Option<Outcome> {
        let all = self.all();
        let known = all.get(&sent.key).filter(|known| known.digest == sent.digest)?;
        Some(known.outcome.clone()).filter(|outcome| !outcome.is_broken())
    }

    /// Enters a push.
    ///
    /// # Errors
    /// Another push has its archive.
    pub fn enter(&self, sent: Sent, now: Timestamp) -> Result<Entered, Invalid> {
        let mut all = self.all();
        all.retain(|_, known| match known.outcome.is_decided() {
            true => now.since(known.begun) < KNOWN_FOR,
            false => !known.outcome.is_broken(),
        });
        if let Some(known) = all.get(&sent.key) {
            return match known.digest == sent.digest {
                true => Ok(Entered::Again(known.outcome.clone())),
                false => Err(Invalid::new("s3_key", "another push took this archive; upload it again")),
            };
        }
        if all.len() >= MOST {
            // Those under way stay: who waits for them is told.
            let decided = all.iter().filter(|(_, known)| known.outcome.is_decided());
            let oldest = decided.min_by_key(|(_, known)| known.begun).map(|(key, _)| key.clone());
            if let Some(key) = oldest {
                all.remove(&key);
            }
        }
        let (tell, outcome) = watch::channel(None);
        let outcome = Outcome(outcome);
        let Sent { key, digest } = sent;
        all.insert(key.clone(), Known { digest, begun: now, outcome: outcome.clone() });
        Ok(Entered::First(Mine { key, tell }, outcome))
    }

    /// Carries a push out, whoever waits for it.
    pub fn carry(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// When every push has come to its end.
    pub(crate) async fn end(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Tells who waits what came of a push. Once it has `taken` its archive it can't be tried again with it, so whatever came
    /// of it is told later, too; before that, the same may be tried again.
    pub fn leave(&self, mine: Mine, done: Result<Pushed, Error>, taken: bool) {
        if !taken {
            self.all().remove(&mine.key);
        }
        // Nobody waiting is fine.
        mine.tell.send_replace(Some(Arc::new(done)));
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PushTarget;
    use domain::{DeploymentId, ModelId};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn push(name: &str) -> Push {
        Push {
            target: PushTarget::NewModel { name: name.into() },
            upload_key: "k.tgz".into(),
            config: String::new(),
            deployment_name: None,
            environment: None,
            create_environment: false,
            autoscaling: Default::default(),
            backpressure: None,
            settings_override: Default::default(),
            scale_down_previous: true,
            preserve_instance_type: true,
            allow_download: true,
            deploy_timeout_minutes: None,
            labels: None,
            raw_config: None,
        }
    }

    fn sent(push: &Push) -> Sent {
        Sent::new(&Actor::system(), push)
    }

    fn first(pushes: &Pushes, push: &Push, now: Timestamp) -> (Mine, Outcome) {
        match pushes.enter(sent(push), now) {
            Ok(Entered::First(mine, outcome)) => (mine, outcome),
            _ => panic!("it is the first"),
        }
    }

    fn pushed() -> Pushed {
        Pushed { model: ModelId::new("m"), deployment: DeploymentId::new("d") }
    }

    #[tokio::test]
    async fn the_same_push_again_hears_what_comes_of_the_first() {
        let pushes = Pushes::default();
        assert!(pushes.find(&sent(&push("one"))).is_none());
        let (mine, outcome) = first(&pushes, &push("one"), NOW);
        let again = pushes.find(&sent(&push("one"))).unwrap();
        assert!(matches!(pushes.enter(sent(&push("one")), NOW), Ok(Entered::Again(_))));
        let refused = pushes.enter(sent(&push("two")), NOW).err().unwrap();
        assert_eq!(refused.field, "s3_key", "another push does not get the archive");
        pushes.leave(mine, Ok(pushed()), true);
        for outcome in [outcome, again, pushes.find(&sent(&push("one"))).unwrap()] {
            assert_eq!(outcome.wait().await.unwrap(), pushed());
        }
        // It is forgotten when another push comes later.
        let other = Push { upload_key: "l.tgz".into(), ..push("two") };
        assert!(pushes.enter(sent(&other), NOW.plus(KNOWN_FOR)).is_ok());
        assert!(pushes.find(&sent(&push("one"))).is_none());
    }

    #[test]
    fn a_push_is_the_same_only_if_all_of_it_is() {
        let one = sent(&push("one")).digest;
        assert_eq!(one, sent(&push("one")).digest);
        let text = || Some("text".to_owned());
        let others = [
            Push { config: "e30=".into(), ..push("one") },
            Push { labels: text(), ..push("one") },
            Push { raw_config: text(), ..push("one") },
            Push { raw_config: Some(String::new()), ..push("one") },
            Push { backpressure: Some(None), ..push("one") },
            Push { preserve_instance_type: false, ..push("one") },
            Push { deploy_timeout_minutes: Some(30), ..push("one") },
        ];
        let mut digests: Vec<_> = others.iter().map(|other| sent(other).digest).collect();
        let another = Actor { name: "another".into(), ..Actor::system() };
        digests.extend([one, Sent::new(&another, &push("one")).digest]);
        let count = digests.len();
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), count);
    }

    #[tokio::test]
    async fn what_comes_of_a_push_that_took_its_archive_is_remembered_whatever_it_is() {
        let pushes = Pushes::default();
        for (error, taken) in [
            (Error::from(Invalid::new("archive", "it has no model")), true),
            (Error::Conflict("there is no room for both".into()), true),
            (Error::Full, true),
            (Error::from(Invalid::new("s3_key", "nothing was uploaded")), false),
            (Error::Full, false),
        ] {
            let code = error.code();
            let (mine, outcome) = first(&pushes, &push("one"), NOW);
            pushes.leave(mine, Err(error), taken);
            assert_eq!(outcome.wait().await.unwrap_err().code(), code);
            let again = pushes.find(&sent(&push("one")));
            assert_eq!(again.is_some(), taken, "{code}");
            if let Some(again) = again {
                assert_eq!(again.wait().await.unwrap_err().code(), code);
            }
            pushes.all().clear();
        }
    }

    #[test]
    fn nobody_is_told_to_try_again_with_an_archive_that_is_taken() {
        let told = once_taken(Error::Busy);
        assert_eq!(told.code(), "VALIDATION_ERROR", "the same push would not end otherwise");
        assert!(told.to_string().contains("upload the archive"), "{told}");
        assert_eq!(once_taken(Error::Full).code(), "DISK_FULL");
    }

    #[tokio::test]
    async fn the_oldest_is_forgotten_when_many_are_known_but_none_that_is_under_way() {
        let pushes = Pushes::default();
        let of = |index: usize| Push { upload_key: format!("{index}.tgz"), ..push("one") };
        let (under_way, _) = first(&pushes, &of(0), NOW);
        for index in 1..=MOST {
            let (mine, _) = first(&pushes, &of(index), NOW.plus(index as i64));
            pushes.leave(mine, Ok(pushed()), true);
        }
        assert_eq!(pushes.all().len(), MOST);
        let is_known = |index: usize| pushes.find(&sent(&of(index))).is_some();
        assert!(is_known(0) && !is_known(1) && is_known(2) && is_known(MOST));
        drop(under_way);
    }

    #[tokio::test]
    async fn the_end_waits_for_what_is_under_way() {
        let pushes = Arc::new(Pushes::default());
        let (mine, outcome) = first(&pushes, &push("one"), NOW);
        let work = pushes.clone();
        pushes.carry(async move {
            tokio::task::yield_now().await;
            work.leave(mine, Ok(pushed()), true);
        });
        pushes.end().await;
        assert!(outcome.is_decided());
    }

    #[tokio::test]
    async fn who_waits_for_a_push_that_broke_off_is_told() {
        let pushes = Pushes::default();
        let (mine, outcome) = first(&pushes, &push("one"), NOW);
        drop(mine);
        assert!(pushes.find(&sent(&push("one"))).is_none());
        assert_eq!(outcome.wait().await.unwrap_err().code(), "INTERNAL_ERROR");
    }
}
