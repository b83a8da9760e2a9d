//! Plays every scenario of `tests/scenarios` and compares its transcript with the golden file beside it.
//!
//! `UPDATE_SCENARIOS=1 cargo test -p engine` writes the golden files anew.

use std::path::Path;

#[tokio::test]
async fn scenarios_go_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    names.sort();
    assert!(names.len() >= 10, "the scenarios are there");
    let mut differ = Vec::new();
    for path in names {
        let text = std::fs::read_to_string(&path).unwrap();
        let transcript = engine::simulation::perform(&text).await.unwrap_or_else(|error| {
            panic!("{}: {error}", path.display());
        });
        let golden = path.with_extension("out");
        if std::env::var_os("UPDATE_SCENARIOS").is_some() {
            std::fs::write(&golden, &transcript).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if expected != transcript {
            differ.push(format!("{}:\n{transcript}", path.display()));
        }
        if transcript.contains("# BROKEN") || !transcript.ends_with("# every promise kept\n") {
            differ.push(format!("{} breaks a promise:\n{transcript}", path.display()));
        }
    }
    assert!(differ.is_empty(), "transcripts differ from their golden files:\n{}", differ.join("\n"));
}
