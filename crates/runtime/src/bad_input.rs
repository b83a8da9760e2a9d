//! What processes write that nobody would write on purpose, and logs that a crash or a disk has damaged.

use std::fs::{self, File};
use std::io::Write;

use domain::{LogQuery, ReplicaId};
use proptest::prelude::*;

use crate::bell;
use crate::follow::Follower;
use crate::parse::{cause, parse};
use crate::search::{news, search};

#[global_allocator]
static ALLOCATOR: mangle::Counting = mangle::Counting;

const LINES: [&str; 5] = [
    r#"{"asctime":"x","levelname":"ERROR","message":"failed","exc_info":"Traceback\nValueError: no","request_id":"r1"}"#,
    r#"{"level": "warn", "event": "slow", "took_ms": 812, "nested": {"a": [1, 2, {"b": null}]}}"#,
    "WARNING: disk is full",
    "Traceback (most recent call last):\n  File \"m.py\", line 1\nmodel.BadThing: no",
    "\u{1b}[31mred\u{1b}[0m ä 日本",
];

/// A segment of a log.
fn stored() -> Vec<u8> {
    let line = |nanos: i64| {
        format!(
            "{{\"nanos\":{nanos},\"message\":\"m {nanos}\",\"level\":\"INFO\",\"source\":\"replica\",\"replica\":\"abcde\",\"request_id\":null}}\n"
        )
    };
    (1..30).map(|n| line(n * 10)).collect::<String>().into_bytes()
}

proptest! {
    #![proptest_config(mangle::config())]

    #[test]
    fn any_line_is_a_line(text in mangle::mangled_text(&LINES)) {
        let id = ReplicaId::new("abcde");
        let parsed = mangle::bounded(text.len(), 200, || parse(&text, &id));
        prop_assert!(parsed.message.len() < 17 * 1024);
        mangle::bounded(text.len(), 8, || cause(&[parsed.message]));
    }

    #[test]
    fn anything_may_be_told_by_a_replica(bytes in mangle::mangled(vec![b"loads 5\nlistens 7\nloaded 9\n".to_vec()])) {
        let told = mangle::bounded(bytes.len(), 16, || bell::parse(&bytes));
        prop_assert!(told.len() <= bytes.len());
    }
}

proptest! {
    #![proptest_config(mangle::dear())]

    #[test]
    fn a_damaged_log_is_read_as_far_as_it_goes(bytes in mangle::mangled(vec![stored()]), after in 0i64..320) {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("0"), folder.path().join("1")];
        let bytes = &bytes[..bytes.len().min(8_000)];
        fs::write(&paths[0], bytes).unwrap();
        fs::write(&paths[1], stored()).unwrap();
        for ascending in [true, false] {
            let query = LogQuery { after_nanos: Some(after), limit: 20, ascending, ..LogQuery::default() };
            let found = mangle::bounded(bytes.len() + 8_000, 400, || search(&paths, &query, |_| true)).unwrap();
            prop_assert!(found.lines.len() <= 20 && found.lines.iter().all(|line| line.nanos > after));
        }
        let query = LogQuery { after_nanos: Some(after), limit: 20, ..LogQuery::default() };
        mangle::bounded(bytes.len() + 8_000, 400, || news(&paths, &query)).unwrap();
    }

    #[test]
    fn any_search_ends_or_is_refused(text in mangle::mangled_text(&["m 1", "/m \\d+$/", "-m replica:abcde"])) {
        let folder = tempfile::tempdir().unwrap();
        let path = [folder.path().join("0")];
        fs::write(&path[0], stored()).unwrap();
        // The doors take 256 characters of each.
        let text: String = text.chars().take(100).collect();
        let query = LogQuery::default().searching(&text);
        match search(&path, &query, |_| true) {
            Ok(found) => prop_assert!(found.lines.len() < 30),
            Err(problem) => prop_assert!(problem.contains("search_pattern")),
        }
    }

    #[test]
    fn whatever_is_written_is_read_once_and_whole(
        pieces in prop::collection::vec(mangle::mangled(LINES.map(|line| format!("{line}\n").into_bytes()).into()), 1..6),
        restart in any::<prop::sample::Index>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let id = ReplicaId::new("abcde");
        let mut out = File::create(folder.path().join("out.log")).unwrap();
        File::create(folder.path().join("err.log")).unwrap();
        let mut follower = Follower::open(folder.path(), id.clone());
        let (mut read, mut lines) = (0, 0);
        let restart = restart.index(pieces.len());
        for (index, piece) in pieces.iter().enumerate() {
            out.write_all(piece).unwrap();
            if index == restart {
                follower = Follower::open(folder.path(), id.clone());
            }
            for line in follower.read(index + 1 == pieces.len()) {
                lines += 1;
                read += line.message.len();
            }
        }
        let all = pieces.concat();
        prop_assert!(lines <= all.iter().filter(|byte| **byte == b'\n').count() + 1 + all.len() / (64 * 1024));
        // Signs for what is no text are three bytes, and a message that was taken out of JSON is shorter than its line.
        prop_assert!(read <= all.len() * 3);
        prop_assert!(follower.read(true).is_empty(), "it was read twice");
    }
}
