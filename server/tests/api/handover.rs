//! Another server takes over from this one.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use control::{Push, PushTarget};
use domain::{Actor, ModelName};
use rustix::fs::OFlags;
use server::boot;
use server::config::Config;
use server::data_folder::{self, DataFolder};
use server::handover::Predecessor;
use store::Store;

use crate::support::{World, archive, config};

fn push(name: &str, key: String) -> Push {
    Push {
        target: PushTarget::NewModel { name: name.into() },
        upload_key: key,
        config: config(""),
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

/// The writing end of a pipe, as soon as somebody reads from it.
async fn read_by_somebody(pipe: &Path) -> File {
    loop {
        let nonblocking = OFlags::NONBLOCK.bits() as i32;
        if let Ok(open) = OpenOptions::new().write(true).custom_flags(nonblocking).open(pipe) {
            return open;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn whoever_took_over_hears_of_the_end_when_the_last_push_is_recorded() {
    let mut world = World::start().await;
    // Its archive comes as late as this test likes.
    let key = world.upload(archive()).await;
    let upload = world.data().join("uploads").join(&key);
    std::fs::remove_file(&upload).unwrap();
    assert!(Command::new("mkfifo").arg(&upload).status().unwrap().success());
    let mut server = world.take_server();
    let control = server.control().clone();
    let mut pushing = tokio::spawn(async move { control.push(&Actor::system(), push("Late", key)).await });
    let mut pipe = tokio::select! {
        pipe = read_by_somebody(&upload) => pipe,
        ended = &mut pushing => panic!("the push does not read its archive: {ended:?}"),
    };
    // Whoever pushed does not wait any more.
    pushing.abort();

    let folder = world.data().to_owned();
    let (tells, mut told) = tokio::sync::mpsc::unbounded_channel();
    let taking = tokio::task::spawn_blocking(move || {
        let mut before = Predecessor::find(&folder).unwrap().unwrap();
        before.step_aside().unwrap();
        before.is_replaced().unwrap();
        let busy = |_| {
            let _ = tells.send(());
        };
        before.brings(drop, busy).unwrap();
    });
    let successor = server.successor().await;
    server.let_go().await;
    let heir = server.hand_over(successor).await.unwrap();
    let database = world.data().join("slipway.db");
    let following = async move {
        // It says so at once, and each second from then on: by the second time nothing is left here but the push.
        for _ in 0..2 {
            told.recv().await.expect("it goes on until the push is recorded");
        }
        pipe.write_all(&archive()).unwrap();
        drop(pipe);
        taking.await.unwrap();
        let store = Store::open_as_is(&database).await.unwrap();
        let found = store.find_model_by_name(&ModelName::new("Late").unwrap()).await.unwrap();
        store.close().await;
        found
    };
    let (found, ()) = tokio::join!(following, server.finish(heir));
    assert!(found.is_some(), "what the old server wrote last is there to be looked at");
}

/// Why a server with these settings does not take over from the one that runs.
async fn refusal(config: Config, server: &boot::Server) -> String {
    let folder = config.data_dir.clone();
    let finding = tokio::task::spawn_blocking(move || Predecessor::find(&folder).unwrap().unwrap());
    let mut before = tokio::select! {
        found = finding => found.unwrap(),
        _ = server.successor() => unreachable!("it has not been asked to let go"),
    };
    let started = boot::start_after(config, Some(&mut before)).await;
    format!("{:#}", started.err().expect("it was refused"))
}

#[tokio::test]
async fn who_could_not_go_on_is_refused_before_anybody_lets_go() {
    let mut world = World::start().await;
    let server = world.take_server();
    let elsewhere = format!("sqlite:{}", world.data().join("other.db").display());
    let other = Config { database_url: Some(elsewhere.clone()), ..world.config.clone() };
    let refused = refusal(other, &server).await;
    assert!(refused.contains("DATABASE_URL") && refused.contains(&elsewhere), "{refused}");
    assert!(!world.data().join("other.db").exists());

    let layout = world.data().join("layout");
    std::fs::write(&layout, format!("{}\n", data_folder::LAYOUT + 1)).unwrap();
    let refused = refusal(world.config.clone(), &server).await;
    assert!(refused.contains("newer Slipway"), "{refused}");
    std::fs::write(&layout, format!("{}\n", data_folder::LAYOUT)).unwrap();

    // It still has the folder, and still decides.
    assert!(matches!(DataFolder::take(world.data()), Err(data_folder::Error::InUse { .. })));
    let (model, deployment) = world.push(Ok("Kept"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    server.stop().await;
}
