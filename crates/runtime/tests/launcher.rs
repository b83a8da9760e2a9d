//! What the launcher makes of a model's prints where they can't be written.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

/// As much of it as the launcher changes.
const UVICORN: &str = "
class Config:
    def __init__(self):
        self.host = '0.0.0.0'


class Server:
    async def startup(self):
        pass
";

/// In the place of the Truss server.
const SERVER: &str = "
import sys

for stream in (sys.stdout, sys.stderr):
    print('the first line', file=stream)
    stream.flush()
    stream.buffer.write(b'bytes\\n')
    print('x' * 10_000, file=stream)
open('answered', 'w').close()
";

/// Runs it with these outputs; says whether it came to its end.
fn answers(out: impl Into<Stdio>, err: impl Into<Stdio>) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| std::fs::write(folder.path().join(path), text).unwrap();
    std::fs::create_dir(folder.path().join("app")).unwrap();
    write("launch.py", include_str!("../src/launch.py"));
    write("slipway_output.py", runtime::OUTPUT_MODULE);
    write("app/uvicorn.py", UVICORN);
    write("app/main.py", SERVER);
    let status = Command::new("python3")
        .arg(folder.path().join("launch.py"))
        .current_dir(folder.path().join("app"))
        .env("PYTHONUNBUFFERED", "1")
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .status()
        .unwrap();
    let answered = folder.path().join("app/answered").exists();
    assert_eq!(status.success(), answered);
    answered
}

fn opened(path: impl AsRef<Path>) -> File {
    File::options().create(true).append(true).open(path).unwrap()
}

#[test]
fn a_print_that_finds_no_room_fails_nobody() {
    assert!(answers(opened("/dev/full"), opened("/dev/full")));
}

#[test]
fn what_finds_room_is_written_and_other_failures_are_failures() {
    let folder = tempfile::tempdir().unwrap();
    let (out, err) = (folder.path().join("out.log"), folder.path().join("err.log"));
    assert!(answers(opened(&out), opened(&err)));
    let whole = format!("the first line\nbytes\n{}\n", "x".repeat(10_000));
    for output in [out, err] {
        assert_eq!(std::fs::read_to_string(output).unwrap(), whole);
    }
    // Open to be read only.
    assert!(!answers(File::open("/dev/null").unwrap(), Stdio::null()));
}
