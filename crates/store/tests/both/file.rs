//! What is true of a SQLite file only: damage, copies, a full disk.

use std::os::unix::fs::FileExt;
use std::path::Path;

use super::*;

/// Writes a setting and its twin in one transaction, so that a copy that holds half of one shows.
async fn write_twins(store: &Store, value: &str) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    tx.set_setting("left", value).await?;
    tx.set_setting("right", value).await?;
    tx.set_setting(&format!("row {value}"), &"x".repeat(2_000)).await?;
    tx.commit().await
}

/// A closed file of a few hundred pages.
async fn filled() -> Scratch {
    let scratch = sqlite().await;
    for number in 0..200 {
        write_twins(&scratch.store, &number.to_string()).await.unwrap();
    }
    scratch.store.close().await;
    scratch
}

fn overwrite(path: &str, offset: u64, bytes: usize) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![0xA5; bytes], offset).unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_refused_by_name_with_the_way_out() {
    let whole = filled().await;
    let middle = std::fs::metadata(&whole.address).unwrap().len() / 2 / 4096 * 4096;
    overwrite(&whole.address, middle, 5 * 4096);
    let refusal = Store::open(&whole.address).await.unwrap_err();
    assert!(matches!(refusal, Error::Damaged { .. }), "{refusal}");
    let text = refusal.to_string();
    for part in [whole.address.as_str(), "SQLite says", "slipway restore BACKUP --data-dir NEW"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains('\n'), "{text}");

    let headless = filled().await;
    overwrite(&headless.address, 0, 100);
    let refusal = Store::open(&headless.address).await.unwrap_err();
    assert!(matches!(refusal, Error::Damaged { .. }), "{refusal}");

    let sound = filled().await;
    assert_eq!(Store::open(&sound.address).await.unwrap().setting("left").await.unwrap().unwrap(), "199");
}

#[tokio::test]
async fn a_copy_is_of_one_moment_while_others_write() {
    let scratch = sqlite().await;
    write_twins(&scratch.store, "first").await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let store = scratch.store.clone();
    let writing = tokio::spawn(async move {
        tokio::pin!(stopped);
        for number in 0.. {
            write_twins(&store, &number.to_string()).await.unwrap();
            if stopped.try_recv().is_ok() {
                return number;
            }
        }
        0
    });
    let folder = tempfile::tempdir().unwrap();
    for number in 0..5 {
        let target = folder.path().join(format!("copy-{number}.db"));
        // Another process's view: nothing of the writer's connections is shared.
        let source = Store::open_as_is(Path::new(&scratch.address)).await.unwrap();
        source.copy_to(&target).await.unwrap();
        source.close().await;
        let copy = Store::open_as_is(&target).await.unwrap();
        copy.check_whole(&target).await.unwrap();
        let left = copy.setting("left").await.unwrap().unwrap();
        assert_eq!(copy.setting("right").await.unwrap().unwrap(), left);
        assert!(copy.setting(&format!("row {left}")).await.unwrap().is_some());
        copy.close().await;
    }
    stop.send(()).unwrap();
    let last = writing.await.unwrap();
    assert_eq!(scratch.store.setting("left").await.unwrap().unwrap(), last.to_string());

    let taken = folder.path().join("copy-0.db");
    assert!(scratch.store.copy_to(&taken).await.is_err(), "a copy is never written over");
}

#[tokio::test]
async fn a_file_that_is_missing_is_not_made_and_a_newer_one_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.db");
    let refusal = Store::open_as_is(&path).await.unwrap_err().to_string();
    assert!(refusal.contains("there is no database") && refusal.contains("none.db"), "{refusal}");
    assert!(!path.exists());

    let scratch = sqlite().await;
    let pool = sqlx::sqlite::SqlitePool::connect(&format!("sqlite://{}", scratch.address)).await.unwrap();
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'later', 1, x'00', 0)";
    sqlx::query(later).execute(&pool).await.unwrap();
    pool.close().await;
    let refusal = Store::open_as_is(Path::new(&scratch.address)).await.unwrap_err();
    assert!(matches!(refusal, Error::Newer { version: 9999 }), "{refusal}");
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_nothing_half_written() {
    let scratch = sqlite().await;
    let store = &scratch.store;
    write_twins(store, "before").await.unwrap();
    for round in 0..3 {
        store.allow_no_growth().await.unwrap();
        let mut number = 0;
        let refusal = loop {
            number += 1;
            if let Err(refusal) = write_twins(store, &format!("{round}-{number}")).await {
                break refusal;
            }
        };
        assert!(matches!(refusal, Error::Full), "{refusal}");
        let (left, right) =
            (store.setting("left").await.unwrap().unwrap(), store.setting("right").await.unwrap().unwrap());
        assert_eq!(left, right, "what did not fit left nothing");
        let again = write_twins(store, &"x".repeat(50_000)).await.unwrap_err();
        assert!(matches!(again, Error::Full), "{again}");
        // With room again the same call goes through, on whichever connection writes now.
        store.allow_growth().await.unwrap();
        write_twins(store, &format!("after {round}")).await.unwrap();
        assert_eq!(store.setting("right").await.unwrap().unwrap(), format!("after {round}"));
    }
    store.check_whole(Path::new(&scratch.address)).await.unwrap();
}
